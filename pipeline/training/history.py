"""Write the history of a training for people: figures per epoch as JSON, and learning curves as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.tasks.task import Task

# Labels of the curves. With dropout or augmentation, training is the harder exercise, and its curve may lie above.
_CURVES = {
    "train": "train: mean over the epoch, with its dropout and augmentation",
    "validation": "validation: after the epoch, without",
}


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The figures of a network on one split.

    Args:
        loss: mean of the loss that is minimised; None where it is unknown for this split. Distillation, for example,
            has the teacher's answers to training examples only.
        score: mean of the task's score, such as the accuracy.
        plain_loss: mean of the task's own loss, such as the cross-entropy in nats, which is reported whatever is
            minimised; None while training.
    """

    loss: float | None
    score: float
    plain_loss: float | None = None

    def words(self, task: Task, *, metric: str | None = None) -> str:
        """The figures in words for people, with the names of a task; the mean score may have another name."""
        loss = None if self.loss is None else f"{self.loss:.4f}"
        plain_loss = None if self.plain_loss is None else f"{self.plain_loss:.4f}"
        parts = [] if loss is None else [f"loss {loss}"]
        parts += [] if plain_loss in (None, loss) else [f"{task.plain_loss_name} {plain_loss}"]
        return ", ".join([*parts, f"{metric or task.metric} {self.score:.4f}"])

    def figures(self, task: Task) -> dict[str, float]:
        """The figures that are known, by the names of a task."""
        values = {"loss": self.loss, task.metric: self.score, task.plain_loss_name: self.plain_loss}
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


def write_history(
    path: Path, epochs: Sequence[Epoch], final: Metrics | None, *, task: Task, kept: int | None = None
) -> None:
    """Write the figures of all epochs as JSON.

    Args:
        path: path of the file.
        epochs: epochs in order; empty where nothing was trained.
        final: figures of the written weights on the validation split; None where it has no labels.
        task: task whose names the figures get.
        kept: number of the epoch that validation chose; None where the last epoch's weights are kept.
    """
    written = [
        {**asdict(epoch), "train": epoch.train.figures(task), "validation": epoch.validation.figures(task)}
        for epoch in epochs
    ]
    document = {"epochs": written, "final": {"validation": {} if final is None else final.figures(task)}}
    chosen = {} if kept is None else {"kept": {"epoch": kept, "chosen_by": "validation"}}
    path.write_text(json.dumps(document | chosen, indent=2) + "\n", encoding="utf-8")


def draw_learning_curves(
    path: Path,
    epochs: Sequence[Epoch],
    final: Metrics | None,
    *,
    task: Task,
    loss: str,
    kept: int | None = None,
) -> None:
    """Draw loss and score over epochs as a PNG; the same figures give the same bytes.

    Both curves of one picture show the same quantity, and the legend says what else differs between them.

    Args:
        path: path of the file.
        epochs: epochs in order; without any, only the line of the final figures is drawn.
        final: figures of the written weights on the validation split; None where it has no labels to be judged by.
        task: task that names the score.
        loss: name of the loss that is minimised, in words.
        kept: number of the epoch that validation chose; None where the last epoch's weights are kept.
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    numbers = [epoch.epoch for epoch in epochs]
    for place, (name, title) in enumerate((("loss", "loss"), ("score", task.metric))):
        axes = figure.add_subplot(1, 2, place + 1)
        if epochs:
            for split, label in _CURVES.items():
                values = [_number(getattr(getattr(epoch, split), name)) for epoch in epochs]
                axes.plot(numbers, values, marker="o", label=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if kept is not None:
                axes.axvline(kept, color="C1", linestyle=":", label=f"epoch {kept}: kept, chosen by validation")
        elif final is not None:
            axes.axhline(_number(getattr(final, name)), color="C1", label="validation, nothing trained")
        at_the_end = "unknown without labels" if final is None else f"{_number(getattr(final, name)):.4f}"
        axes.set_title(f"{title}, on validation at the end {at_the_end}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(loss if name == "loss" else "mean over examples")
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _number(value: float | None) -> float:
    """The value, or NaN where there is none: matplotlib leaves NaN out."""
    return math.nan if value is None else value
