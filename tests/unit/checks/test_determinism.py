"""Networks whose answer to an example changes, and one whose answer does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.checks.determinism import require_determinism
from pipeline.errors import ProofError

VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-4.0, high=4.0)
ARRAYS = {"values": np.random.default_rng(0).uniform(-4, 4, (20, 3)).astype(np.float32)}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, values: Tensor) -> Tensor:
        logits: Tensor = self.head(self.between(self.first(values)))
        return logits

    def between(self, hidden: Tensor) -> Tensor:
        return hidden


class Dropping(Net):
    def between(self, hidden: Tensor) -> Tensor:
        return nn.functional.dropout(hidden)


class Training(Net):
    def between(self, hidden: Tensor) -> Tensor:
        self.first.train()
        return hidden


class Centred(Net):
    def between(self, hidden: Tensor) -> Tensor:
        return hidden - hidden.mean(0)


class Undefined(Net):
    """0/0; the parity check says so."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden * 0 / 0


def build(kind: type[Net]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


@pytest.mark.parametrize("kind", [Net, Undefined])
def test_a_network_that_is_one_function_passes(kind: type[Net]) -> None:
    require_determinism(build(kind), (VALUES,), ARRAYS)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Dropping, r"the float network answers otherwise on a second call: at .*; the whole \(Dropping\): .* apart"),
        (Training, r"found first \(Linear\) in training mode; its forward must not call train\(\)"),
        (Centred, r"for an example alone than in a batch of 8: at .*; the whole \(Centred\): .* apart, .*; everything"),
    ],
)
def test_a_network_that_is_none_is_named_with_its_layer(kind: type[Net], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        require_determinism(build(kind), (VALUES,), ARRAYS)


@pytest.mark.parametrize("kind", [Dropping, Centred])
@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_how_large_the_answers_are_makes_no_difference(kind: type[Net], size: float) -> None:
    def scaled(module: nn.Module) -> nn.Module:
        with torch.no_grad():
            for parameter in module.get_submodule("head").parameters():
                parameter.mul_(size)
        return module

    require_determinism(scaled(build(Net)), (VALUES,), ARRAYS)
    with pytest.raises(ProofError, match="the float network answers otherwise"):
        require_determinism(scaled(build(kind)), (VALUES,), ARRAYS)


def test_a_network_that_takes_no_single_example() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    with pytest.raises(
        ProofError, match=r"an answer for one example alone, found ValueError: Expected more than 1 value"
    ):
        require_determinism(module, (VALUES,), ARRAYS)
