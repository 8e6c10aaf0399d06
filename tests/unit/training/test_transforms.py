"""What training pictures become, held against torchvision's own functions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from pipeline.training.colour import ColourJitter
from pipeline.training.transforms import Transforms, boxes, warp


def pictures(count: int = 4, channels: int = 3, height: int = 20, width: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def largest_difference(left: Tensor, right: Tensor) -> int:
    return int((left.int() - right.int()).abs().max())


@pytest.mark.parametrize("degrees", [0.0, 25.0, -90.0, 180.0])
def test_a_turn_is_torchvisions(degrees: float) -> None:
    angle = math.radians(degrees)
    theta = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    expected = F.rotate(pictures(), degrees, interpolation=InterpolationMode.BILINEAR)
    assert largest_difference(warp(pictures(), theta.repeat(4, 1, 1)), expected) <= 1


def test_a_part_is_resized_to_the_whole() -> None:
    # The left upper quarter of the picture.
    theta = torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.5, -0.5]]).repeat(4, 1, 1)
    expected = F.resized_crop(pictures(), 0, 0, 10, 15, [20, 30], antialias=False)
    # At the edges of the part, torchvision knows nothing of the pixels beside it.
    inside = (..., slice(1, -1), slice(1, -1))
    assert largest_difference(warp(pictures(), theta)[inside], expected[inside]) <= 1


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_picture_is_coloured_by_a_value_of_its_own(what: str, channels: int) -> None:
    if channels == 1 and what in ("saturation", "hue"):
        return
    values = torch.tensor([0.5, -0.3, 0.1, 0.0]) if what == "hue" else torch.tensor([0.5, 1.2, 1.9, 0.0])
    changed = ColourJitter(**{what: values}).apply(pictures(channels=channels))
    adjust = getattr(F, f"adjust_{what}")
    for picture, result, value in zip(pictures(channels=channels), changed, values.tolist(), strict=True):
        # torchvision rounds down after each operation.
        assert largest_difference(result, adjust(picture, value)) <= 1


def test_large_pictures_are_changed_part_by_part_to_the_same_values() -> None:
    large = pictures(5, height=300, width=220)
    values = torch.linspace(-0.4, 0.4, 5)
    theta = torch.tensor([[0.5, 0.1, 0.2], [-0.1, 0.5, 0.1]]).repeat(5, 1, 1) * (1 + values[:, None, None])
    coloured, warped = ColourJitter(contrast=1 + values, hue=values).apply(large), warp(large, theta)
    for number in range(5):
        one = slice(number, number + 1)
        alone = ColourJitter(contrast=1 + values[one], hue=values[one]).apply(large[one])
        assert torch.equal(coloured[one], alone)
        assert torch.equal(warped[one], warp(large[one], theta[one]))


@pytest.mark.parametrize(
    "settings",
    [
        {"rotation": 20.0},
        {"crop": (0.3, 0.8)},
        {"brightness": 0.5},
        {"contrast": 0.5},
        {"saturation": 0.5},
        {"hue": 0.2},
        {"rand_augment": 2},
        {"erasing": 1.0},
    ],
)
def test_each_look_is_another_and_comes_from_torchs_random_state(settings: dict[str, Any]) -> None:
    same = pictures(1).repeat(6, 1, 1, 1).contiguous(memory_format=torch.channels_last)

    def look() -> Tensor:
        (changed,) = Transforms(**settings).apply((same,), (True,))
        return changed

    torch.manual_seed(3)
    first, second = look(), look()
    torch.manual_seed(3)
    assert torch.equal(look(), first)
    assert not torch.equal(first, second)
    assert len({tuple(picture.flatten().tolist()) for picture in torch.cat([first, second])}) > 6
    assert first.dtype is torch.uint8
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_drawn_where_nothing_is_changed() -> None:
    state = torch.get_rng_state()
    values = (pictures(), torch.ones(4, 2))
    assert Transforms().apply(values, (True, False)) == values
    assert torch.equal(torch.get_rng_state(), state)


def test_pictures_of_an_example_are_changed_alike_and_other_inputs_stay() -> None:
    torch.manual_seed(0)
    transforms = Transforms(rotation=40.0, crop=(0.5, 0.9), brightness=0.3, rand_augment=3, erasing=0.9)
    left, table, right = transforms.apply((pictures(), torch.ones(4, 2), pictures()), (True, False, True))
    assert torch.equal(left, right)
    assert torch.equal(table, torch.ones(4, 2))


def test_values_that_are_no_bytes_keep_their_type() -> None:
    floats = pictures().float() / 255
    (turned,) = Transforms(rotation=30.0, crop=(0.5, 1.0), erasing=1.0).apply((floats,), (True,))
    assert turned.dtype is torch.float32
    assert turned.max() <= 1


def test_a_crop_shows_the_share_of_the_area_that_is_drawn() -> None:
    torch.manual_seed(0)
    row = torch.arange(100, dtype=torch.float32).expand(500, 1, 100, 100)
    (shown,) = Transforms(crop=(0.25, 0.25), crop_ratio=(1.0, 1.0)).apply((row,), (True,))
    spans = shown[:, 0, 50, -2] - shown[:, 0, 50, 1]
    assert spans.min() > 47
    assert spans.max() < 50
    assert shown.min() < 3
    assert shown.max() > 96, "parts lie anywhere"


def test_rectangles_are_erased_with_their_probability_and_size() -> None:
    torch.manual_seed(0)
    (erased,) = Transforms(erasing=0.4).apply((torch.ones(2000, 1, 50, 50),), (True,))
    shares = 1 - erased.mean(dim=(1, 2, 3))
    assert 0.36 < (shares > 0).float().mean() < 0.44
    there = shares[shares > 0]
    assert there.min() > 0.01
    assert there.max() < 0.36
    assert 0.14 < there.mean() < 0.2


def test_a_rectangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    mask = boxes(torch.tensor([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.0]]), (4, 4))
    assert mask[0, 0].int().tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert not mask[1].any()
