"""Augment training pictures: each look changes a picture another way, so that a network sees more pictures.

Flips and shifts are moves of whole pixels, of which fine-tuning has a fixed number of copies that the teacher answers.
The other changes, and mixtures of pictures, belong to the training of the float network alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError
from pipeline.training.mixing import Mix, Mixing
from pipeline.training.transforms import Transforms

# This is the number of shifted copies of each training picture. The teacher answers each copy once; eight are enough
# that no epoch of a short training repeats one.
_COPIES = 8


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The ways in which training pictures may be changed; all pictures of an example are changed alike.

    A move is three whole numbers: 1 if mirrored, pixels down, pixels to the right.

    Args:
        horizontal_flip: whether pictures are mirrored with probability 1/2.
        shift: largest shift each way, in pixels; all shifts are equally likely, and pixels from outside are 0.
        transforms: how moved pictures are changed then.
        mixing: how the pictures of a batch are mixed in the end.
    """

    horizontal_flip: bool = False
    shift: int = 0
    transforms: Transforms = field(default_factory=Transforms)
    mixing: Mixing = field(default_factory=Mixing)

    @property
    def moves(self) -> bool:
        """Whether any picture is moved at all."""
        return self.horizontal_flip or self.shift > 0

    @property
    def of_batches(self) -> bool:
        """Whether what becomes of a picture follows from its whole batch, by what is drawn or mixed for that."""
        return bool(self.transforms.keys or self.mixing.keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that change pictures, in their order."""
        moves = [key for key in ("horizontal_flip", "shift") if getattr(self, key)]
        return (*moves, *self.transforms.keys, *self.mixing.keys)

    def apply(self, inputs: tuple[Tensor, ...], pictures: Sequence[bool]) -> tuple[tuple[Tensor, ...], Mix | None]:
        """Change the pictures of a batch that were moved already, and mix them.

        Args:
            inputs: raw values (B, *shape) of each input.
            pictures: whether each of them is a picture, (B, C, H, W).

        Returns:
            The inputs in the same types and memory layouts, and how they were mixed; None where they were not.
        """
        return self.mixing.apply(self.transforms.apply(inputs, pictures))

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
    """Stop where there is nothing to change, or where pictures are of another kind than a change needs.

    Args:
        augmentation: augmentation that the recipe sets.
        inputs: specs of the model's inputs.
        section: section of the recipe, for the message.

    Raises:
        UsageError: no input is a picture, or pictures are not bytes, or have no colours, or lie beside other inputs.
    """
    if not augmentation.keys:
        return
    shapes = ", ".join(f"{spec.name} {spec.dtype} {spec.shape}" for spec in inputs)
    pictures = [spec for spec in inputs if len(spec.shape) == 3]
    if augmentation.moves and not pictures:
        shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs)
        key, off = ("shift", "0") if augmentation.shift else ("horizontal_flip", "false")
        raise UsageError(f"{section}.{key}: expected an input of shape (C, H, W), found {shapes}; set it {off}")
    transforms, mixing = augmentation.transforms, augmentation.mixing
    for keys, fits, needed in (
        (transforms.keys, bool(pictures), "an input of shape (C, H, W)"),
        (transforms.byte_keys, all(spec.dtype == "uint8" for spec in pictures), "pictures of bytes (uint8)"),
        (transforms.byte_keys, all(spec.shape[0] in (1, 3) for spec in pictures), "pictures of 1 or 3 channels"),
        (transforms.colour_keys, all(spec.shape[0] == 3 for spec in pictures), "pictures of 3 channels"),
        (mixing.keys, len(pictures) == len(inputs), "pictures (C, H, W) alone, for nothing else can be mixed"),
    ):
        if keys and not fits:
            raise UsageError(
                f"{section}.augmentation.{keys[0]}: expected {needed}, found {shapes}; leave {' and '.join(keys)} out"
            )


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
