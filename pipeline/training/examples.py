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

    def draw_mirrored(self, count: int) -> Tensor:
        """Which of some examples to mirror, (count,) bool, each with probability 1/2."""
        return (torch.rand(count) < 0.5).to(self.labels.device)

    def take(self, indices: Tensor | slice, *, mirrored_B: Tensor | None = None) -> tuple[Tensor, ...]:
        """Raw inputs of some examples, pictures channels-last.

        Args:
            indices: which ones, on the same device.
            mirrored_B: which of them have their pictures mirrored, all or none of an example's; None for none.
        """
        raw = tuple(one[indices] for one in self.inputs)
        if mirrored_B is not None:
            raw = tuple(
                torch.where(mirrored_B.view(-1, 1, 1, 1), one.flip(-1), one) if is_picture else one
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


def predict(model: nn.Module, examples: Examples, *, mirrored: bool = False) -> Tensor:
    """Logits (N, K) of a deployable model in evaluation mode; the mode it was in is restored.

    Args:
        model: raw inputs to logits (B, K).
        examples: on the model's device.
        mirrored: of all pictures mirrored.
    """
    training = model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(examples), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            every = torch.ones_like(examples.labels[part], dtype=torch.bool) if mirrored else None
            parts.append(model(*examples.take(part, mirrored_B=every)))
    model.train(training)
    return torch.cat(parts)


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
