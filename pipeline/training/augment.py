"""Augment training pictures: each look moves a picture another way, so that a network sees more pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError

# This is the number of shifted copies of each training picture. The teacher answers each copy once; eight are enough
# that no epoch of a short training repeats one.
_COPIES = 8


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The ways in which training pictures may be moved; all pictures of an example are moved together.

    A move is three whole numbers: 1 if mirrored, pixels down, pixels to the right.

    Args:
        horizontal_flip: whether pictures are mirrored with probability 1/2.
        shift: largest shift each way, in pixels; all shifts are equally likely, and pixels from outside are 0.
    """

    horizontal_flip: bool = False
    shift: int = 0

    @property
    def moves(self) -> bool:
        """Whether any picture is moved at all."""
        return self.horizontal_flip or self.shift > 0

    def draw(self, count: int) -> Tensor | None:
        """Draw `count` moves, (count, 3) int64, from torch's random state; None if nothing moves."""
        if not self.moves:
            return None
        moves_B3 = torch.zeros(count, 3, dtype=torch.int64)
        if self.horizontal_flip:
            moves_B3[:, 0] = torch.rand(count) < 0.5
        if self.shift:
            moves_B3[:, 1:] = torch.randint(-self.shift, self.shift + 1, (count, 2))
        return moves_B3

    def copies(self, count: int) -> Tensor:
        """The moves of a fixed number of copies of a data set, (V, count, 3) int64, the same on every call.

        With flips alone there are two copies: the pictures as they are, and mirrored.
        """
        if not self.shift:
            mirrored_V = torch.arange(1 + self.horizontal_flip)
            return torch.stack([mirrored_V, *[torch.zeros_like(mirrored_V)] * 2], dim=1)[:, None].repeat(1, count, 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            drawn = self.draw(_COPIES * count)
        assert drawn is not None  # a shift moves
        return drawn.view(_COPIES, count, 3)


def require_pictures(augmentation: Augmentation, inputs: Sequence[InputSpec], *, section: str) -> None:
    """Stop where there is nothing to move.

    Args:
        augmentation: augmentation that the recipe sets.
        inputs: specs of the model's inputs.
        section: section of the recipe, for the message.

    Raises:
        UsageError: no input is a picture.
    """
    if augmentation.moves and not any(len(spec.shape) == 3 for spec in inputs):
        shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs)
        key, off = ("shift", "0") if augmentation.shift else ("horizontal_flip", "false")
        raise UsageError(f"{section}.{key}: expected an input of shape (C, H, W), found {shapes}; set it {off}")


def moved(pictures_NCHW: Tensor, indices_B: Tensor, moves_B3: Tensor) -> Tensor:
    """Take some of many pictures and move each in its own way; the result is (B, C, H, W), channels last.

    Args:
        pictures_NCHW: raw values of any dtype.
        indices_B: indices of the pictures to take.
        moves_B3: moves, as `Augmentation` draws them, on the same device.
    """
    height, width = pictures_NCHW.shape[-2:]
    mirrored_B, down_B, right_B = moves_B3.unbind(dim=1)
    rows_BH = torch.arange(height, device=moves_B3.device) - down_B[:, None]
    columns_BW = torch.arange(width, device=moves_B3.device) - right_B[:, None]
    inside_BHW = ((rows_BH >= 0) & (rows_BH < height))[:, :, None] & ((columns_BW >= 0) & (columns_BW < width))[:, None]
    columns_BW = torch.where(mirrored_B[:, None].bool(), width - 1 - columns_BW, columns_BW)
    taken_BHWC = pictures_NCHW[
        indices_B[:, None, None], :, rows_BH.clamp(0, height - 1)[:, :, None], columns_BW.clamp(0, width - 1)[:, None]
    ]
    return (taken_BHWC * inside_BHW[..., None]).permute(0, 3, 1, 2)
