"""What a network's forward pass computes in while it is trained; its weights and its answers stay in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

import torch
from torch.amp import GradScaler

from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.measure.host import computes_bfloat16
from pipeline.recipe.names import MixedPrecision
from pipeline.recipe.train_conflicts import why_no_fp16


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A number format of the forward pass.

    Args:
        device: device of the network.
        dtype: number format of convolutions and matrix products; None for float32.
        scaler: what scales the loss, so that small gradients do not vanish in fp16; None where that is not needed.
    """

    device: torch.device
    dtype: torch.dtype | None = None
    scaler: GradScaler | None = None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Compute in the number format inside the block."""
        if self.dtype is None:
            yield
            return
        with torch.autocast(self.device.type, dtype=self.dtype):
            yield


def choose_precision(name: MixedPrecision, device: torch.device, *, reporter: Reporter, purpose: str) -> Precision:
    """Choose the number format that a recipe names on a device; `auto` takes none that the device does not compute in.

    Args:
        name: name in the recipe.
        device: device of the training.
        reporter: receives a line where bf16 is slower than float32, and where `auto` has chosen.
        purpose: purpose of the training, for that line.

    Raises:
        UsageError: fp16 is asked for on a device other than CUDA.
    """
    match name:
        case "off":
            return Precision(device=device)
        case "bf16":
            if not _computes_bfloat16(device):
                reporter.log(
                    f"{purpose}: this {device.type} device does not compute in bf16 itself, so that it is slower than "
                    "float32; mixed_precision auto leaves it off"
                )
            return Precision(device=device, dtype=torch.bfloat16)
        case "fp16":
            if device.type != "cuda":
                raise UsageError(
                    f"train.mixed_precision fp16: expected a CUDA device, found {device.type}: "
                    f"{why_no_fp16(device.type)}; take bf16 or auto"
                )
            return _fp16(device)
        case "auto":
            chosen = _chosen(device)
            kind = "off" if chosen.dtype is None else str(chosen.dtype).removeprefix("torch.")
            reporter.log(f"{purpose}: mixed precision auto is {kind} on this {device.type} device")
            return chosen
        case _:
            assert_never(name)


def _chosen(device: torch.device) -> Precision:
    if _computes_bfloat16(device):
        return Precision(device=device, dtype=torch.bfloat16)
    return _fp16(device) if device.type == "cuda" else Precision(device=device)


def _fp16(device: torch.device) -> Precision:
    return Precision(device=device, dtype=torch.float16, scaler=GradScaler(device.type))


def _computes_bfloat16(device: torch.device) -> bool:
    match device.type:
        case "cpu":
            return computes_bfloat16()
        case "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        case _:
            return False  # what MPS makes of it is not measured
