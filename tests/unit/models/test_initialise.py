"""Initialisation: what each way of it promises of the numbers, and that it follows the seed."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from pipeline.errors import UsageError
from pipeline.models.initialise import initialise
from pipeline.recipe.names import InitialisationName

NAMES: tuple[InitialisationName, ...] = get_args(InitialisationName)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(64 * 36, 50))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights_and_biases_are_zero(name: InitialisationName) -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(initialise(network(), name).state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert not torch.equal(made[0]["0.weight"], made[2]["0.weight"])
    assert not made[0]["0.bias"].any()
    assert not made[0]["3.bias"].any()
    assert torch.equal(made[0]["1.weight"], torch.ones(64)), "norms stay"


def test_the_numbers_are_spread_as_their_papers_say() -> None:
    torch.manual_seed(0)
    fan_in, fan_out = 64 * 36, 50
    kaiming = initialise(network(), "kaiming").state_dict()["3.weight"]
    assert float(kaiming.var()) == pytest.approx(2 / fan_in, rel=0.05)
    xavier = initialise(network(), "xavier").state_dict()["3.weight"]
    assert float(xavier.var()) == pytest.approx(2 / (fan_in + fan_out), rel=0.05)
    assert float(xavier.abs().max()) <= (6 / (fan_in + fan_out)) ** 0.5
    orthogonal = initialise(network(), "orthogonal").state_dict()["3.weight"]
    torch.testing.assert_close(orthogonal @ orthogonal.T, torch.eye(50), rtol=0, atol=1e-5)


def test_a_computed_weight_is_left_to_its_parametrization() -> None:
    plain = nn.Linear(3, 2)
    normed = parametrizations.weight_norm(nn.Linear(3, 2))
    before = normed.weight.clone()
    initialise(nn.Sequential(plain, normed), "kaiming")
    assert torch.equal(normed.weight, before)


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(UsageError, match=r"model.initialisation kaiming: expected a network with convolutions"):
        initialise(nn.Sequential(nn.Embedding(3, 2)), "kaiming")
