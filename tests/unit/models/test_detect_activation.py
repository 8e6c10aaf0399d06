"""Probabilities are distinguished from logits on real examples, and compared with the declaration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.models.detect_activation import check_activation, detect_activation
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.classification.member import ClassificationTask

VALUES = np.random.default_rng(0).normal(0, 1, (100, 8)).astype(np.float32)
EXAMPLES = Split(inputs={"values": VALUES}, labels=np.zeros(100, np.int64))
SPEC = InputSpec(name="values", dtype="float32", shape=(8,), low=-np.inf, high=np.inf)


def _head(bias: float = 0.0, scale: float = 1.0) -> nn.Linear:
    torch.manual_seed(0)
    head = nn.Linear(8, 3)
    with torch.no_grad():
        head.weight.mul_(scale)
        head.bias.fill_(bias)
    return head


class Temperature(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits / 100


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (_head(), "none"),
        (nn.Sequential(_head(), nn.Softmax(1)), "softmax"),
        (nn.Sequential(_head(scale=1e4), nn.Softmax(1)), "softmax"),
        (nn.Sequential(_head(scale=0), nn.Softmax(1)), "softmax"),
        (nn.Sequential(_head(), nn.Sigmoid()), "sigmoid"),
        (nn.Sequential(_head(scale=1e4), nn.Sigmoid()), "sigmoid"),
        (nn.Sequential(_head(scale=0), nn.Sigmoid()), "sigmoid"),
        (nn.Sequential(_head(), nn.Hardsigmoid()), "sigmoid"),
        # These are logits, because their softmax gives the probabilities again.
        (nn.Sequential(_head(), nn.LogSoftmax(1)), "none"),
        # All outputs are in 0..1 by chance: an untrained network whose last layer is all bias, also behind more steps.
        (_head(bias=0.4, scale=1e-3), "none"),
        (nn.Sequential(_head(bias=0.4, scale=1e-3), nn.ReLU(), Temperature()), "none"),
        # This head starts from zeros.
        (_head(scale=0), "none"),
        (nn.Sequential(_head(), nn.Tanh()), "none"),
    ],
)
def test_what_a_network_answers_with(network: nn.Module, found: str) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert detect_activation(network.eval(), (torch.from_numpy(VALUES),)) == found
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def _check(network: nn.Module, activation: Any) -> None:
    spec = ModelSpec(
        name="net",
        build=lambda: network,
        preprocess=ToFloat,
        inputs=(SPEC,),
        labels=("a", "b", "c"),
        activation=activation,
    )
    check_activation(spec, network, task=ClassificationTask(), examples=EXAMPLES, source="model.factory nets:build")


def test_undeclared_probabilities_end_a_build_in_one_line() -> None:
    softmax, sigmoid = nn.Sequential(_head(), nn.Softmax(1)), nn.Sequential(_head(), nn.Sigmoid())
    with pytest.raises(
        UsageError,
        match=r"model.factory nets:build: expected logits, found every output in 0\.\.1 and every sum 1, as softmax "
        r'makes them, on 64 examples; .* declare model\.activation = "softmax", or let the network return logits',
    ):
        _check(softmax, None)
    with pytest.raises(UsageError, match=r'as sigmoid makes them, on 64 examples; .* model\.activation = "sigmoid"'):
        _check(sigmoid, None)
    for network, activation in ((softmax, "softmax"), (sigmoid, "sigmoid"), (softmax, "none"), (_head(), None)):
        _check(network, activation)


@pytest.mark.parametrize(
    ("ending", "declared", "text"),
    [
        (nn.Identity(), "softmax", r'"softmax": expected outputs that softmax makes, found .* declare "none"'),
        (nn.Identity(), "sigmoid", r'"sigmoid": expected outputs that sigmoid makes, found .* declare "none"'),
        (nn.Sigmoid(), "softmax", r'found every output in 0\.\.1, as sigmoid makes them, .* declare "sigmoid"'),
        (nn.Softmax(1), "sigmoid", r'every sum 1, as softmax makes them, .* declare "softmax"'),
        (nn.LogSoftmax(1), "softmax", r'declare "none"'),
    ],
)
def test_a_declaration_that_the_outputs_contradict(ending: nn.Module, declared: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _check(nn.Sequential(_head(), ending), declared)


def test_an_unknown_activation_of_a_specification() -> None:
    with pytest.raises(
        UsageError, match="model net: activation: expected none, softmax, sigmoid or None, which is what"
    ):
        _check(_head(), "tanh")
