"""Frozen modules stay bit for bit, batch norms included, until they are trained."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.training.freeze import Freezing
from tests.tiny_training import SPEC, settings, train


def network() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            trunk=nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8, affine=False), nn.ReLU()),
            middle=nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)),
            head=nn.Linear(8, 2),
        )
    )


TINY = replace(SPEC, build=network)


def changed(tmp_path: Path, freezing: Freezing, *, epochs: int = 3) -> dict[str, bool]:
    """Whether each tensor of the network is another one after some epochs."""
    torch.manual_seed(0)
    before = network().state_dict()
    trained, _ = train(tmp_path / "run", settings(epochs=epochs, freezing=freezing), spec=TINY)
    return {key: not torch.equal(value, before[key]) for key, value in trained.state_dict().items()}


def test_what_is_frozen_stays_and_the_rest_is_trained(tmp_path: Path) -> None:
    for key, is_changed in changed(tmp_path, Freezing(names=("trunk", "middle.0"))).items():
        assert is_changed is not key.startswith(("trunk", "middle.0.")), key


def test_what_is_unfrozen_is_trained_from_its_epoch_on(tmp_path: Path) -> None:
    freezing = Freezing(names=("trunk", "middle"), unfreeze_after={"middle": 2, "trunk.0": 1})
    early = changed(tmp_path / "one", freezing, epochs=1)
    assert {key for key, is_changed in early.items() if is_changed} == {"head.weight", "head.bias"}
    later = changed(tmp_path / "two", freezing, epochs=2)
    assert {key for key, is_changed in later.items() if is_changed} == {
        "head.weight", "head.bias", "trunk.0.weight", "trunk.0.bias",
    }  # fmt: skip
    last = changed(tmp_path / "three", freezing, epochs=3)
    assert {key for key, is_changed in last.items() if not is_changed} == {
        "trunk.1.running_mean", "trunk.1.running_var", "trunk.1.num_batches_tracked",
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()


def test_what_a_factory_froze_may_be_trained_later(tmp_path: Path) -> None:
    def partly_frozen() -> nn.Module:
        built = network()
        built.get_submodule("trunk").requires_grad_(requires_grad=False)
        return built

    training = settings(epochs=2, freezing=Freezing(unfreeze_after={"trunk": 1}))
    torch.manual_seed(0)
    before = partly_frozen().state_dict()
    trained, _ = train(tmp_path / "run", training, spec=replace(SPEC, build=partly_frozen))
    assert not torch.equal(trained.state_dict()["trunk.0.weight"], before["trunk.0.weight"])


@pytest.mark.parametrize(
    ("freezing", "said"),
    [
        (
            Freezing(names=("trunc",)),
            r"train.freeze: expected names .* \(such as trunk, middle, head\), found trunc; did you mean trunk",
        ),
        (Freezing(names=("trunk.2",)), "train.freeze: expected a module with parameters, found trunk.2 without"),
        (Freezing(unfreeze_after={"midle": 1}), "train.unfreeze_after: expected names .* found midle; did you mean"),
        (
            Freezing(names=("middle.0",), unfreeze_after={"middle": 1}),
            r"train.unfreeze_after.middle: expected a frozen module, found middle.1.weight trained from the start",
        ),
    ],
)
def test_names_that_mean_nothing_are_refused_with_the_nearest(freezing: Freezing, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        freezing.check(network())


def test_nothing_is_touched_where_nothing_is_frozen() -> None:
    built = network()
    built.get_submodule("trunk").requires_grad_(requires_grad=False)
    built.get_submodule("middle").eval()
    Freezing().prepare(built)
    Freezing().start_epoch(built, 1)
    assert [parameter.requires_grad for parameter in built.parameters()] == [False] * 2 + [True] * 6
    assert not built.get_submodule("middle").training


def test_a_layer_that_is_made_anew_is_trained_at_some_time() -> None:
    why = "it is new"
    with pytest.raises(UsageError, match=r"train.freeze: expected head to be trained, because it is new, found head"):
        Freezing(names=("head",)).require_trained(network(), "head", why=why)
    Freezing(names=("head",), unfreeze_after={"head": 1}).require_trained(network(), "head", why=why)
    Freezing(names=("trunk",)).require_trained(network(), "head", why=why)
