"""If nothing is trained and no file of weights is named, the factory has to bring the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError
from pipeline.models.own_weights import require_own_weights, require_weights_made_here
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.training.loop import build_network
from tests.reporters import Lines

TRAINED = torch.arange(12.0).reshape(4, 3)


def pretrained() -> nn.Module:
    first = nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        first.weight.copy_(TRAINED)
    return nn.Sequential(first, nn.BatchNorm1d(4))


def with_a_new_head() -> nn.Module:
    return nn.Sequential(pretrained(), nn.Linear(4, 2))


def seeded() -> nn.Module:
    torch.manual_seed(5)
    return nn.Linear(3, 2)


SPEC = ModelSpec(
    name="m",
    build=pretrained,
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="float32", shape=(3,), low=-9, high=9),),
    labels=("a", "b"),
)


def required(build: Callable[[], nn.Module]) -> list[str]:
    said, spec = Lines(), replace(SPEC, build=build)
    before = torch.get_rng_state()
    require_own_weights(spec, build_network(spec, seed=3), seed=3, reporter=said)
    assert torch.equal(torch.get_rng_state(), before)
    return said.said


def test_a_factory_that_brings_weights_passes() -> None:
    assert required(pretrained) == []


def test_what_is_made_at_random_is_named() -> None:
    with pytest.raises(UsageError, match=r"found 2 of 8 tensors made at random, .*: 1\.weight, 1\.bias; give model\.w"):
        required(with_a_new_head)


def test_a_factory_that_seeds_torch_is_told_of() -> None:
    assert required(seeded) == [
        "train: the factory seeds torch itself, so nothing tells whether its weights are trained or made at random"
    ]


def test_a_missing_number_is_no_random_one() -> None:
    def with_nan() -> nn.Module:
        network = pretrained()
        with torch.no_grad():
            next(network.parameters())[1, 2] = torch.nan
        return network

    assert required(with_nan) == []


@pytest.mark.parametrize("build", [pretrained, with_a_new_head])
def test_a_network_that_brings_weights_needs_its_preprocessing(build: Callable[[], nn.Module]) -> None:
    spec = replace(SPEC, build=build)
    with pytest.raises(UsageError, match=r"model\.preprocessing: expected it with .* weights of its own, .*0\.weight"):
        require_weights_made_here(spec, build_network(spec, seed=3), seed=3)


def constant() -> nn.Module:
    network = nn.Linear(3, 2)
    nn.init.zeros_(network.weight)
    return nn.Sequential(network, nn.BatchNorm1d(2))


@pytest.mark.parametrize("build", [seeded, constant, lambda: nn.Linear(3, 2)])
def test_a_network_whose_weights_are_made_here_needs_none(build: Callable[[], nn.Module]) -> None:
    spec = replace(SPEC, build=build)
    require_weights_made_here(spec, build_network(spec, seed=3), seed=3)
