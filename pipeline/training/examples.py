"""A split as tensors in memory: raw values on the device, cut into batches, augmented, evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.data.dataset import Split
from pipeline.models.spec import ModelSpec
from pipeline.training.history import Metrics

_EVALUATION_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A split as tensors on the device where it is used.

    Args:
        inputs: (N, *shape) raw values each, in the order of the model's inputs.
        labels: (N,) int64.
        pictures: which of the inputs are C,H,W.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    pictures: tuple[bool, ...]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def take(self, indices: Tensor | slice, *, horizontal_flip: bool = False) -> tuple[Tensor, ...]:
        """Raw inputs of some examples, pictures channels-last.

        Args:
            indices: which ones, on the same device.
            horizontal_flip: mirror each example's pictures, all or none of them, with probability 1/2.
        """
        raw = tuple(one[indices] for one in self.inputs)
        if horizontal_flip:
            mirrored = (torch.rand(len(raw[0])) < 0.5).to(self.labels.device).view(-1, 1, 1, 1)
            raw = tuple(
                torch.where(mirrored, one.flip(-1), one) if is_picture else one
                for one, is_picture in zip(raw, self.pictures, strict=True)
            )
        return tuple(
            one.contiguous(memory_format=torch.channels_last) if is_picture else one
            for one, is_picture in zip(raw, self.pictures, strict=True)
        )


def to_examples(spec: ModelSpec, split: Split, device: torch.device) -> Examples:
    """A split's arrays as tensors on a device, inputs in the order of the spec."""
    return Examples(
        inputs=tuple(torch.from_numpy(split.inputs[one.name]).to(device) for one in spec.inputs),
        labels=torch.from_numpy(split.labels).to(device),
        pictures=tuple(len(one.shape) == 3 for one in spec.inputs),
    )


def batches(order: Tensor, batch_size: int) -> Sequence[Tensor]:
    """Cut indices into batches; a single one left over joins its neighbour, because batch norm cannot train on one."""
    cut = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [torch.cat(cut[-2:])]
    return cut


def evaluate(model: nn.Module, examples: Examples) -> Metrics:
    """Loss and accuracy of a deployable model in evaluation mode; the mode it was in is restored.

    Args:
        model: raw inputs to logits (B, K).
        examples: on the model's device.
    """
    training = model.training
    model.eval()
    loss = 0.0
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(examples), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            logits_BK = model(*examples.take(part))
            labels_B = examples.labels[part]
            loss += F.cross_entropy(logits_BK, labels_B, reduction="sum").item()
            correct += int((logits_BK.argmax(dim=1) == labels_B).sum())
    model.train(training)
    return Metrics(loss=loss / len(examples), accuracy=correct / len(examples))
