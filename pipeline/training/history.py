"""The history of a training: figures per epoch, in words, as JSON, and for whoever draws curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.engine.stage import Reporter, ScalarReporter, report_status
from pipeline.tasks.task import Task
from pipeline.training.scalars import epoch_scalars


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The figures of a network on one split.

    Args:
        loss: mean of the loss that is minimised; None where it is unknown for this split. Distillation, for example,
            has the teacher's answers to training examples only.
        score: mean of the task's score, such as the accuracy.
        plain_loss: mean of the task's own loss, such as the cross-entropy in nats, which is reported whatever is
            minimised; None while training.
        others: further metrics of the task, such as macro F1, by name; empty while training.
    """

    loss: float | None
    score: float
    plain_loss: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)

    def words(self, task: Task, *, metric: str | None = None) -> str:
        """The figures in words for people, with the names of a task; the mean score may have another name."""
        loss = None if self.loss is None else f"{self.loss:.4f}"
        plain_loss = None if self.plain_loss is None else f"{self.plain_loss:.4f}"
        parts = [] if loss is None else [f"loss {loss}"]
        parts += [] if plain_loss in (None, loss) else [f"{task.plain_loss_name} {plain_loss}"]
        return ", ".join([*parts, f"{metric or task.metric} {self.score:.4f}"])

    def figures(self, task: Task) -> dict[str, float]:
        """The figures that are known, by the names of a task."""
        values = {"loss": self.loss, task.metric: self.score, task.plain_loss_name: self.plain_loss, **self.others}
        return {name.replace("-", "_").replace(" ", "_"): value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training data. It holds no times, which would differ between two equal runs.

    Args:
        epoch: number of the epoch, counted from 1.
        learning_rate: learning rate at its last step.
        train: figures during training, so with dropout and augmentation, over changing weights.
        validation: figures of the weights at its end, in evaluation mode, with the same loss.
    """

    epoch: int
    learning_rate: float
    train: Metrics
    validation: Metrics


def epoch_of(document: Mapping[str, Any]) -> Epoch:
    """The epoch whose fields a document holds, as `dataclasses.asdict` gives them."""
    return Epoch(
        epoch=document["epoch"],
        learning_rate=document["learning_rate"],
        train=Metrics(**document["train"]),
        validation=Metrics(**document["validation"]),
    )


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long an epoch took. It stands in no file, because it differs between two equal runs.

    Args:
        examples: number of examples that were trained on.
        training_s: time that training on them took, in seconds.
        epoch_s: time of the whole epoch with its evaluation, in seconds.
    """

    examples: int
    training_s: float
    epoch_s: float

    def words(self, *, epochs_left: int) -> str:
        """The time in words, with the rate, and the time that as many more epochs take at this pace."""
        rate = f"{self.epoch_s:.1f} s, {self.examples / self.training_s:,.0f} examples/s"
        if not epochs_left:
            return rate
        minutes, seconds = divmod(round(self.epoch_s * epochs_left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{rate}, {f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02} left"


def write_history(
    path: Path,
    epochs: Sequence[Epoch],
    final: Metrics | None,
    *,
    task: Task,
    kept: Sequence[int] = (),
    processes: Sequence[int] = (),
) -> None:
    """Write the figures of all epochs as JSON.

    Args:
        path: path of the file.
        epochs: epochs in order; empty where nothing was trained.
        final: figures of the written weights on the validation split; None where it has no labels.
        task: task whose names the figures get.
        kept: number of the epoch that validation chose, of an ensemble one for each member; empty where the last
            epoch's weights are kept.
        processes: number of processes that trained each epoch, which is written where there were several: one number
            where it was the same for all epochs.
    """
    written = [_document(epoch, task) for epoch in epochs]
    document = {"epochs": written, "final": {"validation": {} if final is None else final.figures(task)}}
    numbers = {"epoch": kept[0]} if len(kept) == 1 else {"epochs": list(kept)}
    chosen = {"kept": {**numbers, "chosen_by": "validation"}} if kept else {}
    counts = sorted(set(processes))
    several = {"processes": counts[0] if len(counts) == 1 else list(processes)} if counts not in ([], [1]) else {}
    path.write_text(json.dumps(document | chosen | several, indent=2) + "\n", encoding="utf-8")


def log_epoch(
    reporter: Reporter, epochs: Sequence[Epoch], *, purpose: str, task: Task, metric: str, total: int, pace: Pace
) -> None:
    """Log one line on the last completed epoch, and give the figures of all to a reporter that takes them.

    Args:
        reporter: reporter of the training.
        epochs: completed epochs in order, at least one.
        purpose: purpose of the training, for messages.
        task: task whose names the figures get.
        metric: name of the mean score, for messages.
        total: number of epochs of the whole training, if nothing ends it earlier.
        pace: how long the epoch took.
    """
    epoch = epochs[-1]
    before, then = (metrics.words(task, metric=metric) for metrics in (epoch.train, epoch.validation))
    speed = pace.words(epochs_left=total - epoch.epoch)
    report_status(reporter, "step", f"{purpose}: epoch {epoch.epoch}/{total}, {before}; validation {then}; {speed}")
    if purpose.startswith("train"):  # a search that fine-tunes has a best of its own
        best = max(epochs, key=lambda epoch: epoch.validation.score)
        report_status(reporter, "best", f"epoch {best.epoch}, {metric} {best.validation.score:.4f} on validation")
    report_scalars(reporter, epochs, purpose=purpose, task=task)


def report_scalars(reporter: Reporter, epochs: Sequence[Epoch], *, purpose: str, task: Task) -> None:
    """Give the figures of all completed epochs to a reporter that takes them; the arguments are as in `log_epoch`."""
    if isinstance(reporter, ScalarReporter):
        reporter.scalars(purpose, [epoch_scalars(_document(epoch, task)) for epoch in epochs])


def _document(epoch: Epoch, task: Task) -> dict[str, Any]:
    return {**asdict(epoch), "train": epoch.train.figures(task), "validation": epoch.validation.figures(task)}
