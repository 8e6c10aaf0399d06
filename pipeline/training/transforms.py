"""Change training pictures, each in its own way: turn, crop, colour, RandAugment, erase.

torchvision's transforms draw once for a whole batch. What they compute for a given value is taken from there where one
value holds for many pictures, as in RandAugment; what has another value for each picture is computed here for the whole
batch at once. All draws come from torch's random state on the CPU, so that they go on after an interruption and do not
depend on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training.colour import ColourJitter, parts

# The shares of the area and the ratios of torchvision's RandomErasing (Zhong et al., arXiv:1708.04896).
_ERASED = (0.02, 0.33)
_ERASED_RATIO = (0.3, 3.3)


@dataclass(frozen=True, kw_only=True)
class Transforms:
    """How training pictures are changed, in the order of the fields; all pictures of an example alike.

    Args:
        rotation: largest turn each way, in degrees; zeros come in.
        crop: smallest and largest share of the area that is taken and resized to the whole; None takes all.
        crop_ratio: smallest and largest width over height of what is taken, as a multiple of the picture's own.
        brightness, contrast, saturation: largest distance of a factor from 1; pictures are bytes then.
        hue: largest turn of the hue each way, in circles.
        rand_augment: number of operations that RandAugment draws for each picture.
        magnitude: strength of these operations, from 0 to 30.
        erasing: probability that a rectangle is set to zero.
    """

    rotation: float = 0.0
    crop: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    rand_augment: int = 0
    magnitude: int = 9
    erasing: float = 0.0

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that change pictures."""
        names = ("rotation", "crop", *self.byte_keys, "erasing")
        return tuple(name for name in names if getattr(self, name))

    @property
    def byte_keys(self) -> tuple[str, ...]:
        """The settings that change pictures and know values from 0 to 255 alone."""
        return tuple(
            name for name in ("brightness", "contrast", *self.colour_keys, "rand_augment") if getattr(self, name)
        )

    @property
    def colour_keys(self) -> tuple[str, ...]:
        """The settings that change pictures and need three channels."""
        return tuple(name for name in ("saturation", "hue") if getattr(self, name))

    def apply(self, inputs: Sequence[Tensor], pictures: Sequence[bool]) -> tuple[Tensor, ...]:
        """Change the pictures of a batch.

        Args:
            inputs: raw values (B, *shape) of each input.
            pictures: whether each of them is a picture, (B, C, H, W).

        Returns:
            The inputs, pictures in the same types and memory layouts.
        """
        if not self.keys:
            return tuple(inputs)
        draw = _Draw(self, len(inputs[0]))
        return tuple(
            torch.empty_like(values_BCHW).copy_(draw.apply(values_BCHW)) if is_picture else values_BCHW
            for values_BCHW, is_picture in zip(inputs, pictures, strict=True)
        )


class _Draw:
    """What is done with each of `count` pictures: drawn once, then applied to every input."""

    def __init__(self, transforms: Transforms, count: int) -> None:
        self.transforms = transforms
        self.theta_B23 = _geometry(transforms, count) if transforms.rotation or transforms.crop else None
        self.jitter = ColourJitter.draw(
            count,
            brightness=transforms.brightness,
            contrast=transforms.contrast,
            saturation=transforms.saturation,
            hue=transforms.hue,
        )
        self.seed = int(torch.randint(2**31, ())) if transforms.rand_augment else 0
        self.boxes_B4 = _erased(count, transforms.erasing) if transforms.erasing else None

    def apply(self, pictures_BCHW: Tensor) -> Tensor:
        """Apply all of it to raw values of one input."""
        if self.theta_B23 is not None:
            pictures_BCHW = warp(pictures_BCHW, self.theta_B23)
        if self.jitter is not None:
            pictures_BCHW = self.jitter.apply(pictures_BCHW)
        if self.transforms.rand_augment:
            from pipeline.training.rand_augment import rand_augment  # torchvision's transforms take a while to import

            pictures_BCHW = rand_augment(
                pictures_BCHW,
                operations=self.transforms.rand_augment,
                magnitude=self.transforms.magnitude,
                generator=torch.Generator().manual_seed(self.seed),
            )
        if self.boxes_B4 is not None:
            inside_B1HW = boxes(self.boxes_B4.to(pictures_BCHW.device), pictures_BCHW.shape[-2:])
            pictures_BCHW = pictures_BCHW.masked_fill(inside_B1HW, 0)
        return pictures_BCHW


def uniform(count: int, low: float, high: float) -> Tensor:
    """Draw `count` numbers between two, (count,) float32."""
    return low + (high - low) * torch.rand(count)


def warp(pictures_BCHW: Tensor, theta_B23: Tensor) -> Tensor:
    """Resample pictures by an affine map each, bilinearly, with zeros from outside.

    Args:
        pictures_BCHW: raw values of any dtype; whole numbers are rounded.
        theta_B23: maps from places in the result to places in the picture. Both are given in half widths and half
            heights from the centre, down and to the right.
    """
    height, width = pictures_BCHW.shape[-2:]
    # The map is given in pictures as wide as high; `affine_grid` counts in each axis's own half length.
    theta_B23 = theta_B23.to(pictures_BCHW.device)
    scale_23 = torch.tensor([[1, height / width, 1], [width / height, 1, 1]], device=theta_B23.device)
    grid_BHW2 = F.affine_grid(theta_B23 * scale_23, list(pictures_BCHW.shape), align_corners=False)
    result_BCHW = torch.empty_like(pictures_BCHW)
    for part in parts(pictures_BCHW):
        warped_BCHW = F.grid_sample(pictures_BCHW[part].float(), grid_BHW2[part], mode="bilinear", align_corners=False)
        result_BCHW[part] = warped_BCHW if pictures_BCHW.is_floating_point() else warped_BCHW.round()
    return result_BCHW


def boxes(boxes_B4: Tensor, size: Sequence[int]) -> Tensor:
    """Mask of the pixels inside a rectangle of each picture, (B, 1, H, W).

    Args:
        boxes_B4: top, left, bottom and right, as shares of height and width.
        size: height and width, in pixels.
    """
    top_B, left_B, bottom_B, right_B = boxes_B4.unbind(dim=1)
    rows_H = (torch.arange(size[0], device=boxes_B4.device) + 0.5) / size[0]
    columns_W = (torch.arange(size[1], device=boxes_B4.device) + 0.5) / size[1]
    rows_BH = (rows_H >= top_B[:, None]) & (rows_H < bottom_B[:, None])
    columns_BW = (columns_W >= left_B[:, None]) & (columns_W < right_B[:, None])
    return (rows_BH[:, :, None] & columns_BW[:, None])[:, None]


def _geometry(transforms: Transforms, count: int) -> Tensor:
    """Draw the map of each picture, (count, 2, 3): a turn, of which a part is taken then."""
    angle_B = uniform(count, -transforms.rotation, transforms.rotation) * math.pi / 180
    cosine_B, sine_B = angle_B.cos(), angle_B.sin()
    turn_B22 = torch.stack([cosine_B, sine_B, -sine_B, cosine_B], dim=1).view(count, 2, 2)
    width_B, height_B, centre_B2 = torch.ones(count), torch.ones(count), torch.zeros(count, 2)
    if transforms.crop is not None:
        width_B, height_B = _sizes(count, transforms.crop, transforms.crop_ratio)
        room_B2 = torch.stack([1 - width_B, 1 - height_B], dim=1)
        centre_B2 = (2 * torch.rand(count, 2) - 1) * room_B2
    sizes_B12 = torch.stack([width_B, height_B], dim=1)[:, None]
    return torch.cat([turn_B22 * sizes_B12, turn_B22 @ centre_B2[:, :, None]], dim=2)


def _sizes(count: int, area: tuple[float, float], ratio: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Draw widths and heights, as shares of the picture's, with logarithms of their ratio equally likely."""
    area_B = uniform(count, *area)
    root_B = (uniform(count, math.log(ratio[0]), math.log(ratio[1])) / 2).exp()
    return (area_B.sqrt() * root_B).clamp(max=1), (area_B.sqrt() / root_B).clamp(max=1)


def _erased(count: int, probability: float) -> Tensor:
    """Draw a rectangle of each picture, (count, 4); an empty one where nothing is erased."""
    erased_B = torch.rand(count) < probability
    width_B, height_B = _sizes(count, _ERASED, _ERASED_RATIO)
    left_B, top_B = torch.rand(count) * (1 - width_B), torch.rand(count) * (1 - height_B)
    boxes_B4 = torch.stack([top_B, left_B, top_B + height_B, left_B + width_B], dim=1)
    return boxes_B4 * erased_B[:, None]
