"""Activations that are computed again give the same weights, statistics of batch norms included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.training.recompute import recomputed
from tests.tiny_training import SPEC, same, settings, train


@pytest.mark.parametrize("names", [("1",), ("0", "1", "3"), ("4",)])
def test_the_same_weights_are_learned(tmp_path: Path, names: tuple[str, ...]) -> None:
    plain, trained = train(tmp_path / "a", settings())
    again, others = train(tmp_path / "b", settings(activation_checkpointing=names))
    assert same(plain, again)
    assert trained == others
    assert all("forward" not in vars(module) for module in again.modules())


def test_a_module_is_computed_again_in_the_backward_pass_alone() -> None:
    calls: list[str] = []

    class Counted(nn.Linear):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            calls.append("forward")
            return super().forward(values)

    network = nn.Sequential(Counted(2, 2), nn.ReLU(), nn.Linear(2, 1))
    values = torch.randn(4, 2)
    with recomputed(network, ["0"]):
        with torch.no_grad():
            network(values)
        assert len(calls) == 1
        loss = network(values).sum()
        assert len(calls) == 2
        loss.backward()
        assert len(calls) == 3
    network(values).sum().backward()
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["lyer1"], r"'lyer1': expected the name of a module of the network, found none such; did you mean layer1\?"),
        (["nothing"], "found none such; there are layer1, layer1.0, layer1.1, head"),
        ([""], "expected the name of a module"),
        (["layer1", "layer1.0"], "expected modules that do not lie in each other, found layer1.0 in layer1"),
    ],
)
def test_a_name_that_is_no_module_of_its_own_is_refused(names: list[str], said: str) -> None:
    network = nn.Sequential()
    network.add_module("layer1", nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    network.add_module("head", nn.Linear(2, 2))
    with pytest.raises(UsageError, match=said), recomputed(network, names):
        pass


def test_the_tiny_network_has_a_batch_norm_and_dropout() -> None:
    assert [type(module) for module in SPEC.build().children()][1::2] == [nn.BatchNorm1d, nn.Dropout]
