"""How published networks see pictures, by name: what the packages themselves do with a picture."""

from __future__ import annotations

import importlib.util
import io
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_weight

from pipeline._handlers.decode import ImageDecoding, decode_image
from pipeline.errors import UsageError
from pipeline.models.preprocess import standardize
from pipeline.presets import read_preset

MOBILENET = "torchvision:MobileNet_V2_Weights.IMAGENET1K_V1"


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def seen(name: str, picture: Image.Image) -> torch.Tensor:
    """What a network behind this preset sees of a picture file."""
    preset, buffer = read_preset(name), io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=0)
    pixels = torch.from_numpy(decode_image(buffer.getvalue(), preset.input_spec()))
    facts = preset.preprocessing
    module = standardize(scale=facts.scale, mean=facts.mean, std=facts.std, shape=preset.shape)
    result: torch.Tensor = module(pixels.unsqueeze(0))
    return result


@pytest.mark.parametrize(
    "weights",
    [
        "MobileNet_V2_Weights.IMAGENET1K_V1",
        "EfficientNet_B1_Weights.IMAGENET1K_V2",
        "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1",
        "GoogLeNet_Weights.IMAGENET1K_V1",
        "ResNet50_QuantizedWeights.DEFAULT",
    ],
)
def test_the_network_sees_what_torchvision_shows_it(weights: str) -> None:
    for size in ((300, 211), (97, 203)):
        expected = get_weight(weights).transforms()(photo(*size)).unsqueeze(0)
        torch.testing.assert_close(seen(f"torchvision:{weights}", photo(*size)), expected, rtol=0, atol=2e-6)


def test_all_facts_are_the_packages() -> None:
    preset = read_preset(MOBILENET)
    assert preset.shape == (3, 224, 224)
    assert preset.decoding == ImageDecoding(mode="RGB", fit="crop", resize_to=(256, 256))
    assert preset.preprocessing.mean == (0.485, 0.456, 0.406)
    assert (len(preset.labels), preset.labels[281]) == (1000, "tabby")
    assert '"resize_to": [256, 256]' in preset.to_json()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "torchvision:MobilNet_V2_Weights.DEFAULT",
            r"did you mean MobileNet_V2_Weights\?",
        ),
        (
            "torchvision:MobileNet_V2_Weights.V7",
            "expected one of MobileNet_V2_Weights's: IMAGENET1K_V1, IMAGENET1K_V2; write it as",
        ),
        ("torchvision:MobileNet_V2_Weights", "expected one of MobileNet_V2_Weights's: IMAGENET1K_V1, IMAGENET1K_V2"),
        (
            "torchvision:FCN_ResNet50_Weights.DEFAULT",
            "a classifier of pictures, found transforms Sem",
        ),
        ("hub:resnet50", "preset 'hub:resnet50': expected torchvision or timm, a colon and a name"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_preset(name)


def test_without_timm_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"expected the package timm.*pip install 'proven-pipeline\[timm\]'"):
        read_preset("timm:resnet50")


needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


@needs_timm
@pytest.mark.parametrize(
    "model",
    [
        "resnet50",
        "resnet50.a1_in1k",
        "convnext_base.fb_in22k_ft_in1k_384",
        "coat_lite_medium_384.in1k",
        "eva02_base_patch14_448.mim_in22k_ft_in1k",
    ],
)
def test_the_network_sees_what_timm_shows_it(model: str) -> None:
    timm: Any = importlib.import_module("timm")
    data: Any = importlib.import_module("timm.data")
    facts = data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(model).to_dict())
    for size in ((300, 211), (97, 203)):
        expected = data.create_transform(**facts)(photo(*size)).unsqueeze(0)
        torch.testing.assert_close(seen(f"timm:{model}", photo(*size)), expected, rtol=0, atol=2e-6)


@needs_timm
@pytest.mark.slow
def test_every_configuration_of_timm_is_taken_or_refused_by_name() -> None:
    timm: Any = importlib.import_module("timm")
    presets = [read_preset(f"timm:{name}") for name in timm.list_pretrained()]
    assert {preset.decoding.fit for preset in presets} == {"crop", "squeeze", "letterbox"}
    assert all(len(set(preset.decoding.fill)) == 1 or preset.decoding.fit == "letterbox" for preset in presets)


@needs_timm
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timm:renset50", r"found 'renset50'; did you mean resnet50\?"),
        ("timm:resnet50.nothing", r"expected one of resnet50\.a1_in1k, .* found resnet50\.nothing"),
    ],
)
def test_what_is_wrong_with_a_name_of_timm_is_said(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_preset(name)
