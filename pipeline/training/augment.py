"""Augmentation: training pictures are moved, another way at each look, so that a network sees more than there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError

# Of every training picture, where a teacher answers each once: enough that no epoch of a short training repeats one.
_COPIES = 8


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training pictures may be moved; several pictures of an example are moved together.

    A move is three whole numbers: 1 if mirrored, pixels down, pixels to the right.

    Args:
        horizontal_flip: mirror with probability 1/2.
        shift: up to so many pixels each way, all equally likely; what comes in from outside is 0.
    """

    horizontal_flip: bool = False
    shift: int = 0

    @property
    def moves(self) -> bool:
        """Whether there is anything to do."""
        return self.horizontal_flip or self.shift > 0

    def draw(self, count: int) -> Tensor | None:
        """A move for each of some examples, (count, 3) int64, from torch's random state; None if nothing moves."""
        if not self.moves:
            return None
        moves_B3 = torch.zeros(count, 3, dtype=torch.int64)
        if self.horizontal_flip:
            moves_B3[:, 0] = torch.rand(count) < 0.5
        if self.shift:
            moves_B3[:, 1:] = torch.randint(-self.shift, self.shift + 1, (count, 2))
        return moves_B3

    def copies(self, count: int) -> Tensor:
        """Moves for a fixed number of copies of a data set, (V, count, 3) int64, the same on every call.

        With flips alone these are all there are: as it is, and mirrored.
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
        augmentation: what is asked for.
        inputs: of the model.
        section: of the recipe, for the message.

    Raises:
        UsageError: no input is a picture.
    """
    if augmentation.moves and not any(len(one.shape) == 3 for one in inputs):
        shapes = ", ".join(f"{one.name} {one.shape}" for one in inputs)
        key, off = ("shift", "0") if augmentation.shift else ("horizontal_flip", "false")
        raise UsageError(f"{section}.{key}: expected an input of shape (C, H, W), found {shapes}; set it {off}")


def moved(pictures_NCHW: Tensor, indices_B: Tensor, moves_B3: Tensor) -> Tensor:
    """Some of many pictures, each moved in its own way, (B, C, H, W), channels-last.

    Args:
        pictures_NCHW: raw values of any dtype.
        indices_B: which of them.
        moves_B3: as `Augmentation` draws them, on the same device.
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
