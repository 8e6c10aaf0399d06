"""Hold a split for training: raw values that are cut into batches, augmented and evaluated on a device.

What fits into memory is copied to the device as a whole. What does not is read from its mapped file batch by batch; the
values, and so the weights, are the same either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline.data.dataset import Split
from pipeline.models.spec import ModelSpec, joined
from pipeline.recipe.task import judged_by_labels
from pipeline.tasks.loss import Criterion
from pipeline.tasks.task import Task
from pipeline.training.augment import moved
from pipeline.training.device import random_state, restore_random_state
from pipeline.training.history import Metrics
from pipeline.training.processes import ALONE, Processes

# Evaluation takes as many examples at once, or as many as have this much of float32 values together.
_EVALUATION_BATCH = 500
_EVALUATION_BYTES = 1 << 26
# Bytes of pictures with so many channels are brought into the layout channels last one channel after the other.
_FEW_CHANNELS = 4
# On a GPU, a split takes at most this part of the memory that is free there: the network needs the rest.
_DEVICE_SHARE = 4


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A split on the device where it is used.

    Args:
        inputs: raw values (N, *shape) of each input, in the order of the model's inputs: a tensor on the device, or an
            array of which batches are copied there.
        labels: targets, (N, ...); None where there are none.
        pictures: whether each input is a picture (C, H, W).
        device: device of the labels and of what `take` returns.
        layout: memory layout of the pictures that `take` returns.
    """

    inputs: tuple[Tensor | NDArray[Any], ...]
    labels: Tensor | None
    pictures: tuple[bool, ...]
    device: torch.device
    layout: torch.memory_format = torch.channels_last

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.inputs[0])

    @property
    def targets(self) -> Tensor:
        """The labels of examples that have some, as all have that a network is trained or evaluated on."""
        assert self.labels is not None
        return self.labels

    def take(self, indices: Tensor, moves_B3: Tensor | None = None) -> tuple[Tensor, ...]:
        """Take the raw inputs of some examples.

        Args:
            indices: indices of the examples, on the same device.
            moves_B3: moves of their pictures, the same for all pictures of an example; None to leave them unmoved.
        """
        return tuple(
            _to_layout(_pictures(rows, places_B, moves_B3), self.layout) if is_picture else _chosen(rows, places_B)
            for (rows, places_B), is_picture in zip(self._rows(indices), self.pictures, strict=True)
        )

    def _rows(self, indices_B: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """For each input, rows on the device, and the places of some examples in them; None for all in their order."""
        for values in self.inputs:
            if isinstance(values, Tensor):
                yield values, indices_B
            else:
                yield torch.from_numpy(values[indices_B.cpu().numpy()]).to(self.device), None


def _to_layout(pictures_BCHW: Tensor, layout: torch.memory_format) -> Tensor:
    if layout is not torch.channels_last:
        # For one channel, `contiguous` would leave strides that convolutions take for channels last.
        return pictures_BCHW.clone(memory_format=layout)
    few_bytes = 1 < pictures_BCHW.shape[1] <= _FEW_CHANNELS and pictures_BCHW.dtype is torch.uint8
    if few_bytes and pictures_BCHW.device.type == "cpu" and pictures_BCHW.is_contiguous():
        # Torch's own copy takes 2.7 times as long (32 pictures of 3x224x224 on one thread: 5.8 ms).
        return torch.stack(pictures_BCHW.unbind(dim=1), dim=-1).permute(0, 3, 1, 2)
    return pictures_BCHW.contiguous(memory_format=layout)


def _pictures(pictures_NCHW: Tensor, places_B: Tensor | None, moves_B3: Tensor | None) -> Tensor:
    if moves_B3 is None:
        return _chosen(pictures_NCHW, places_B)
    if places_B is None:
        places_B = torch.arange(len(pictures_NCHW), device=pictures_NCHW.device)
    return moved(pictures_NCHW, places_B, moves_B3)


def _chosen(rows: Tensor, places_B: Tensor | None) -> Tensor:
    """Rows at some places. Indexing with brackets would copy value by value, which takes twelve times as long."""
    return rows if places_B is None else rows.index_select(0, places_B)


def to_examples(spec: ModelSpec, split: Split, device: torch.device) -> Examples:
    """Copy a split's arrays to a device, with the inputs in the order of the spec, save those that are too large."""
    return Examples(
        inputs=tuple(_resident(split.inputs[input_spec.name], device) for input_spec in spec.inputs),
        labels=None if split.labels is None else torch.from_numpy(split.labels).to(device),
        pictures=tuple(len(input_spec.shape) == 3 for input_spec in spec.inputs),
        device=device,
    )


def _resident(values: NDArray[Any], device: torch.device) -> Tensor | NDArray[Any]:
    """Values as a tensor on a device; the array itself where it is mapped, or takes too much of the device's memory."""
    if isinstance(values, np.memmap):
        return values
    if device.type == "cuda" and values.nbytes * _DEVICE_SHARE > torch.cuda.mem_get_info(device)[0]:
        return values
    return torch.from_numpy(values).to(device)


def batches(order: Tensor, batch_size: int) -> Sequence[Tensor]:
    """Cut indices into batches; a single index left over joins the batch before, as batch norm cannot train on one."""
    cut = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [torch.cat(cut[-2:])]
    return cut


def predict(model: nn.Module, examples: Examples, moves_N3: Tensor | None = None) -> Iterator[Tensor]:
    """Compute logits of a deployable model in evaluation mode; its mode is restored afterwards.

    Args:
        model: model that maps raw inputs to logits (B, K).
        examples: examples on the model's device.
        moves_N3: moves of the pictures of each example; None to leave them unmoved.

    Yields:
        Logits (B, K) of one batch after the other, on the CPU.
    """
    training = model.training
    model.eval()
    for part in _in_order(examples):
        with torch.inference_mode():
            logits_BK = joined(model(*examples.take(part, None if moves_N3 is None else moves_N3[part])))
        yield logits_BK.cpu()
    model.train(training)


def evaluate(
    model: nn.Module,
    examples: Examples,
    *,
    task: Task,
    criterion: Criterion | None,
    batch_size: int,
    names: Sequence[str],
    activation: Activation = "none",
    processes: Processes = ALONE,
) -> Metrics:
    """Compute losses and score of a deployable model in evaluation mode; its mode is restored afterwards.

    Args:
        model: model that maps raw inputs to outputs (B, K).
        examples: examples on the model's device.
        task: task of the model.
        criterion: loss of the labels that training minimises; None where it minimises something else.
        batch_size: batch size of training; a loss may depend on it.
        names: names of the outputs, for further metrics.
        activation: activation that the outputs already have.
        processes: processes that compute the outputs together; each has all of them then.
    """
    training = model.training
    model.eval()
    plain_loss = score = 0.0
    answers = []
    # A network may draw random numbers here too; training goes on with its own, whatever share a process evaluates.
    random = random_state(examples.device)
    with torch.inference_mode():
        for part, outputs_BK in _answered(model, examples, processes):
            labels_B = examples.targets[part]
            plain_loss += task.plain_loss(outputs_BK, labels_B, activation=activation).item()
            score += task.score_sum(outputs_BK, labels_B, activation=activation).item()
            answers.append(outputs_BK)
    restore_random_state(random, examples.device)
    model.train(training)
    loss = None if criterion is None else _mean_loss(answers, examples.targets, criterion, batch_size)
    others = _further_metrics(torch.cat(answers), examples.targets, task=task, names=names, activation=activation)
    return Metrics(loss=loss, score=score / len(examples), plain_loss=plain_loss / len(examples), others=others)


def _answered(model: nn.Module, examples: Examples, processes: Processes) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices (B,) and outputs (B, K) of all examples, in batches."""
    parts = _in_order(examples)
    if processes.alone or len(parts) < processes.count:  # so few are computed as fast as they are exchanged
        for part in parts:
            yield part, joined(model(*examples.take(part)))
        return
    shares = [parts[rank :: processes.count] for rank in range(processes.count)]
    own = torch.cat([joined(model(*examples.take(part))) for part in shares[processes.rank]])
    gathered = processes.gather(own, [sum(map(len, share)) for share in shares])
    batches_of = [
        torch.split(rows, [len(part) for part in share]) for rows, share in zip(gathered, shares, strict=True)
    ]
    for number, part in enumerate(parts):
        yield part, batches_of[number % processes.count][number // processes.count]


def _further_metrics(
    outputs_NK: Tensor, labels_N: Tensor, *, task: Task, names: Sequence[str], activation: Activation
) -> dict[str, float]:
    """The task's metrics besides its score, by name; none where outputs are not finite."""
    if not judged_by_labels(task.settings) or not outputs_NK.isfinite().all():
        return {}
    outputs, labels = outputs_NK.float().cpu().numpy(), labels_N.cpu().numpy()
    return task.metrics(outputs, labels, names=names, activation=activation).curves


def _mean_loss(answers: Sequence[Tensor], labels_N: Tensor, criterion: Criterion, batch_size: int) -> float | None:
    """The mean loss over batches as in training, weighted by their sizes; None where it is not finite."""
    # As in training, the loss may ask for gradients, and answers from inference mode cannot have any.
    logits_NK = torch.cat(list(answers)).clone().requires_grad_()
    order = batches(torch.arange(len(labels_N), device=labels_N.device), batch_size)
    total = sum(criterion(logits_NK[part], labels_N[part]).item() * len(part) for part in order)
    # A weighted loss has no mean over a batch whose classes all have weight 0.
    return total / len(labels_N) if math.isfinite(total) else None


def _in_order(examples: Examples) -> Sequence[Tensor]:
    """Indices of all examples in batches for evaluation."""
    values = sum(math.prod(inputs.shape[1:]) for inputs in examples.inputs)
    size = max(1, min(_EVALUATION_BATCH, _EVALUATION_BYTES // (4 * max(1, values))))
    return torch.split(torch.arange(len(examples), device=examples.device), size)
