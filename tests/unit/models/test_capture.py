"""What modules give is captured as it is at that moment, by name, call and part."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError
from pipeline.models.capture import capture_activations
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec


class Network(nn.Module):
    """It calls one module twice, one that gives a tuple, one in place, and one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.relu = nn.ReLU(inplace=True)
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.unused = nn.Linear(2, 2)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.relu(self.linear(self.relu(self.linear(rows))))
        answer: Tensor = self.lstm(hidden.unsqueeze(1))[0][:, 0, :2]
        return answer


SPEC = ModelSpec(
    name="m",
    build=Network,
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99),),
    labels=("a", "b"),
)
ROWS = {"x": np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]], np.float32)}


def test_activations_are_those_of_the_network() -> None:
    network = SPEC.build().train()
    arrays = capture_activations(SPEC, network, ["linear", "lstm"], ROWS)
    assert {name: array.shape for name, array in arrays.items()} == {
        "linear#1": (3, 2),
        "linear#2": (3, 2),
        "lstm.0": (3, 1, 3),
        "lstm.1": (1, 3, 3),
        "lstm.2": (1, 3, 3),
    }
    with torch.no_grad():
        expected = network.get_submodule("linear")(torch.from_numpy(ROWS["x"])).numpy()
    assert (expected < 0).any(), "what the module in place makes of it is something else"
    np.testing.assert_array_equal(arrays["linear#1"], expected)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("linaer", r"name of a module of the network \(linear, relu, .*\), found none; did you mean linear\?"),
        ("unused", "a module that gives tensors for this input, found that the network does not call it"),
    ],
)
def test_what_cannot_be_captured_is_named(name: str, text: str) -> None:
    network = SPEC.build()
    with pytest.raises(UsageError, match=rf"--module {name}: expected (the )?{text}"):
        capture_activations(SPEC, network, ["linear", name], ROWS)
    assert not any(module._forward_hooks for module in network.modules())


class Block(nn.Module):
    """A module that gives two tensors, and whose first part has the name of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.Linear(2, 2))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.get_submodule("0")(rows), rows


class Outer(nn.Module):
    """A network around such a module."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.block(rows)[0]
        return answer


def test_two_arrays_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected arrays of different names, found two called block\.0"):
        capture_activations(SPEC, Outer(), ["block", "block.0"], ROWS)
