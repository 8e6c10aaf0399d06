"""Networks by the names of torchvision and timm."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.errors import UsageError
from pipeline.models.load import load_model_spec
from pipeline.models.outside import outside_digests
from pipeline.models.spec import count_parameters
from pipeline.recipe.model import Model


def data(channels: int = 3, size: int = 32) -> DataInfo:
    picture = InputSpec(
        name="image",
        dtype="uint8",
        shape=(channels, size, size),
        low=0,
        high=255,
        decoding=ImageDecoding(mode="RGB" if channels == 3 else "L"),
    )
    return DataInfo(name="t", classes=tuple("abcde"), inputs=(picture,), sizes={}, digests={}, sources={})


def built(name: str, *, channels: int = 3, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return load_model_spec(Model(name=name, arguments=arguments), Path(), data(channels)).build()


def test_the_network_is_torchvisions_own() -> None:
    torch.manual_seed(0)
    reference = models.resnet50(num_classes=5).state_dict()
    for name in ("resnet50", "torchvision:resnet50"):
        network = built(name).state_dict()
        assert network.keys() == reference.keys()
        assert all(torch.equal(value, reference[key]) for key, value in network.items())
    assert count_parameters(built("mobilenet-v2")) == count_parameters(models.mobilenet_v2(num_classes=5))


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "torchvision:squeezenet1_1", "torchvision:vgg11"])
def test_a_picture_may_have_any_number_of_channels(name: str) -> None:
    spec = load_model_spec(Model(name=name), Path(), data(channels=1))
    logits = spec.deployable(spec.build().eval())(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert logits.shape == (2, 5)


def test_further_outputs_in_training_are_left_out_and_a_vision_transformer_gets_the_size() -> None:
    network = built("torchvision:googlenet").train()
    assert isinstance(network(torch.zeros(2, 3, 32, 32)), torch.Tensor)
    assert built("torchvision:vit_b_32").get_parameter("encoder.pos_embedding").shape[1] == 2


def test_arguments_are_the_networks_own() -> None:
    dropout = built("torchvision:mobilenet_v3_small", dropout=0.7).get_submodule("classifier.2")
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.7


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"name": "torchvision:resnet5"},
            "expected a classifier of torchvision .* resnet5; did you mean resnet",
        ),
        ({"name": "torchvision:fcn_resnet50"}, "expected a classifier of torchvision"),
        (
            {"name": "torchvision:resnet18", "arguments": {"depth": 3}},
            "model.name torchvision:resnet18: expected that it can be built with arguments .* TypeError: .*depth",
        ),
        (
            {"name": "torchvision:resnet18", "arguments": {"weights": "DEFAULT"}},
            "model.arguments: expected none of weights, .* found weights",
        ),
        ({"name": "resnet50", "arguments": {"depth": 3}}, "model.arguments: expected ; found: unknown depth"),
    ],
)
def test_what_a_recipe_gets_wrong(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_model_spec(Model.model_validate(fields), Path(), data())


def test_a_build_watches_the_version_of_the_package() -> None:
    digests = outside_digests(Model(name="torchvision:resnet18"), {}, Path())
    assert list(digests) == ["model.name torchvision"]


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_its_extra_is_named() -> None:
    with pytest.raises(UsageError, match=r"timm:resnet18: expected the package timm.*proven-pipeline\[timm\]"):
        load_model_spec(Model(name="timm:resnet18"), Path(), data())


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_networks_of_timm() -> None:
    spec = load_model_spec(Model(name="timm:mobilenetv3_small_050"), Path(), data(channels=1))
    logits = spec.deployable(spec.build().eval())(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert logits.shape == (2, 5)
    with pytest.raises(UsageError, match=r"expected a model of timm .* found resnt18; did you mean resnet18"):
        load_model_spec(Model(name="timm:resnt18"), Path(), data())
