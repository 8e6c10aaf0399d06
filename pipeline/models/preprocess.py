"""Preprocessing of raw values as a module, so that training, calibration, parity and serving cannot disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError


class ToFloat(nn.Module):
    """Casts raw values to float32 and changes nothing else."""

    def forward(self, raw: Tensor) -> Tensor:
        """Cast (B, ...) of any dtype to float32."""
        return raw.to(torch.float32)


class Unchanged(nn.Module):
    """Leaves raw values as they are, for example integers that a network looks up in an embedding."""

    def forward(self, raw: Tensor) -> Tensor:
        """Return the input."""
        return raw


class Affine(nn.Module):
    """Computes `raw * factor + offset` in float32. An exported graph has three operators for it: cast, multiply, add.

    Args:
        factor: one value, or one per channel (images) or feature (vectors).
        offset: as many values as `factor`.
        axes: axes of one example that follow the channel axis: 2 for C,H,W images, 0 for vectors.
    """

    if TYPE_CHECKING:  # torch.jit.script cannot resolve postponed annotations of attributes
        factor: Tensor
        offset: Tensor

    def __init__(self, *, factor: Sequence[float], offset: Sequence[float], axes: int) -> None:
        super().__init__()
        shape = (1, len(factor), *[1] * axes) if len(factor) > 1 else ()
        # The buffers are not persistent, because they belong to the recipe and not to the weights.
        self.register_buffer("factor", torch.tensor(factor, dtype=torch.float32).reshape(shape), persistent=False)
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32).reshape(shape), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """Map (B, C, ...) raw values to float32 of the same shape."""
        return raw.to(torch.float32) * self.factor + self.offset


class Each(nn.Module):
    """One preprocessing module per input."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(modules)

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Map each raw input with its own module."""
        return tuple(module(tensor) for module, tensor in zip(self.inputs, raw, strict=True))


def standardize(*, scale: float, mean: Sequence[float], std: Sequence[float], shape: Sequence[int]) -> nn.Module:
    """A module for `(raw * scale - mean) / std`, folded into one factor and one offset.

    Args:
        scale: factor on the raw value.
        mean: subtracted after scaling; one value, or one per channel (first axis of `shape`).
        std: divisor; one value, or one per channel.
        shape: shape of one example, without the batch axis.

    Raises:
        UsageError: there is neither one value nor one per channel, or a divisor is zero.
    """
    channels = shape[0] if shape else 1
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(
                f"model.preprocessing.{name}: expected 1 value or {channels}, one per channel or feature of the "
                f"input's shape {tuple(shape)}, found {len(values)}"
            )
    if 0.0 in std:
        raise UsageError("model.preprocessing.std: expected values other than 0, because they divide; found 0")
    count = max(len(mean), len(std))
    means, stds = list(mean) * (count // len(mean)), list(std) * (count // len(std))
    if scale == 1.0 and set(means) == {0.0} and set(stds) == {1.0}:
        return ToFloat()
    factor = [scale / divisor for divisor in stds]
    offset = [-center / divisor for center, divisor in zip(means, stds, strict=True)]
    return Affine(factor=factor, offset=offset, axes=max(len(shape) - 1, 0))
