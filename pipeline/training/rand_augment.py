"""RandAugment on a batch, with other operations for each picture (Cubuk et al., arXiv:1909.13719).

The strength is the same for all pictures, and each operation has one sign or the other. So the pictures of a batch fall
into a few groups, and torchvision's own function acts on each group as a whole.
"""

from __future__ import annotations

import math
from typing import Literal, assert_never, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

Operation = Literal[
    "identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate", "brightness", "colour", "contrast",
    "sharpness", "posterize", "solarize", "auto-contrast", "equalize",
]  # fmt: skip
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
# Strengths are counted from 0 to this number, as in torchvision.
STRONGEST = 30
# Largest shear, share of the size for a translation, angle in degrees, distance of a factor from 1, and lost bits.
_SHEAR, _TRANSLATION, _ROTATION, _FACTOR, _BITS = 0.3, 150 / 331, 30.0, 0.9, 4


def rand_augment(
    pictures_BCHW: Tensor, *, operations: int, magnitude: int, generator: torch.Generator | None = None
) -> Tensor:
    """Apply operations to each picture, drawn with equal probability.

    Args:
        pictures_BCHW: bytes.
        operations: number of operations for each picture, one after the other.
        magnitude: their strength, from 0 to 30.
        generator: source of the draws, on the CPU; torch's random state if None.
    """
    pictures_BCHW = pictures_BCHW.clone()
    for _ in range(operations):
        kinds_B = torch.randint(len(OPERATIONS), (len(pictures_BCHW),), generator=generator)
        signs_B = torch.randint(2, (len(pictures_BCHW),), generator=generator)
        for number, operation in enumerate(OPERATIONS):
            for sign in (0, 1):
                places_N = torch.nonzero((kinds_B == number) & (signs_B == sign)).flatten()
                if len(places_N):
                    places_N = places_N.to(pictures_BCHW.device)
                    pictures_BCHW[places_N] = operate(
                        pictures_BCHW[places_N], operation, magnitude=magnitude, sign=1 - 2 * sign
                    )
    return pictures_BCHW


def operate(pictures_BCHW: Tensor, operation: Operation, *, magnitude: int, sign: int) -> Tensor:
    """Apply one operation to pictures, with torchvision's functions and its strengths.

    Args:
        pictures_BCHW: bytes.
        operation: what is done.
        magnitude: strength, from 0 to 30.
        sign: 1 or -1, where the operation has two directions.
    """
    share = magnitude / STRONGEST
    factor = 1 + sign * _FACTOR * share
    result: Tensor
    match operation:
        case "identity":
            result = pictures_BCHW
        case "shear-x" | "shear-y" | "translate-x" | "translate-y" | "rotate":
            result = _move(pictures_BCHW, operation, sign * share)
        case "brightness":
            result = F.adjust_brightness(pictures_BCHW, factor)
        case "colour":
            result = F.adjust_saturation(pictures_BCHW, factor)
        case "contrast":
            result = F.adjust_contrast(pictures_BCHW, factor)
        case "sharpness":
            result = F.adjust_sharpness(pictures_BCHW, factor)
        case "posterize":
            result = F.posterize(pictures_BCHW, 8 - round(magnitude / (STRONGEST / _BITS)))
        case "solarize":
            result = F.solarize(pictures_BCHW, 255.0 * (1 - share))
        case "auto-contrast":
            result = F.autocontrast(pictures_BCHW)
        case "equalize":
            result = F.equalize(pictures_BCHW)
        case _:
            assert_never(operation)
    return result


def _move(
    pictures_BCHW: Tensor,
    operation: Literal["shear-x", "shear-y", "translate-x", "translate-y", "rotate"],
    amount: float,
) -> Tensor:
    """Shear, translate or rotate by a signed share of the largest amount."""
    height, width = pictures_BCHW.shape[-2:]
    angle, translate, shear, centre = 0.0, [0, 0], [0.0, 0.0], None
    match operation:
        case "rotate":
            angle = -_ROTATION * amount  # `affine` turns the other way than `rotate`
        case "shear-x":
            shear, centre = [math.degrees(math.atan(_SHEAR * amount)), 0.0], [0.0, 0.0]
        case "shear-y":
            shear, centre = [0.0, math.degrees(math.atan(_SHEAR * amount))], [0.0, 0.0]
        case "translate-x":
            translate = [int(_TRANSLATION * width * amount), 0]
        case "translate-y":
            translate = [0, int(_TRANSLATION * height * amount)]
        case _:
            assert_never(operation)
    result: Tensor = F.affine(
        pictures_BCHW, angle=angle, translate=translate, scale=1.0, shear=shear, fill=None, center=centre
    )
    return result
