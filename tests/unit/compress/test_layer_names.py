"""Names of layers that passes mention are checked."""

from __future__ import annotations

import pytest
from torch import nn

from pipeline.compress.layer_names import check_layer_names
from pipeline.errors import UsageError
from pipeline.recipe.passes import ChannelPruning, StaticInt8, Variant

NETWORK = nn.Sequential()
NETWORK.add_module("stem", nn.Linear(2, 3))
NETWORK.add_module("head", nn.Sequential(nn.Linear(3, 2)))


def test_names_of_layers_and_of_what_holds_them_pass() -> None:
    passes = (ChannelPruning(layers={"stem": 0.5}), StaticInt8(keep=("head", "network.head.0")))
    check_layer_names(NETWORK, [Variant(name="a", passes=passes)])


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (
            ChannelPruning(layers={"stm": 0.5}),
            r"variant 'a', channel-pruning: layers: expected .* \(stem, head\.0\), found stm; did you mean stem\?",
        ),
        (StaticInt8(keep=("heads",)), r"variant 'a', static-int8: keep: .* found heads; did you mean head\?"),
    ],
)
def test_a_name_that_the_network_does_not_have_is_refused(step: ChannelPruning | StaticInt8, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_layer_names(NETWORK, [Variant(name="a", passes=(step,))])
