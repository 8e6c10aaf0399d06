"""Draw the learning curves of a training as one picture: losses, metrics, and the learning rate, by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.tasks.task import Task
from pipeline.training.history import Epoch, Metrics

# Labels of the curves. With dropout or augmentation, training is the harder exercise, and its curve may lie above.
_CURVES = {
    "train": "train: mean over the epoch, with its dropout and augmentation",
    "validation": "validation: after the epoch, without",
}
# Panels side by side, and the size of one, in inches.
_COLUMNS = 3
_PANEL = (5.0, 3.7)
_LEGEND_INCHES = 0.4


def draw_learning_curves(path: Path, epochs: Sequence[Epoch], final: Metrics | None, *, task: Task, loss: str) -> None:
    """Draw loss, score, further metrics and learning rate over epochs as a PNG; the same figures give the same bytes.

    Both curves of a panel show the same quantity, and the legend says what else differs between them.

    Args:
        path: path of the file.
        epochs: epochs in order; without any, only lines of the final figures are drawn.
        final: figures of the written weights on the validation split; None where it has no labels to be judged by.
        task: task that names the score.
        loss: name of the loss that is minimised, in words.
    """
    others = list(final.others) if final is not None else []
    panels = 2 + len(others) + bool(epochs)
    rows = math.ceil(panels / _COLUMNS)
    columns = min(panels, _COLUMNS)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + _LEGEND_INCHES), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(("loss", "score", *others)):
        axes = figure.add_subplot(rows, columns, place + 1)
        last = None if final is None else _value(final, name)
        values = {split: [_value(getattr(epoch, split), name) for epoch in epochs] for split in _CURVES}
        _draw_panel(axes, [epoch.epoch for epoch in epochs], values, final=last)
        title = task.metric if name == "score" else name
        at_the_end = "unknown without labels" if last is None else f"{last:.4f}"
        axes.set_title(f"{title}, on validation at the end {at_the_end}", fontsize="medium")
        axes.set_ylabel(loss if name == "loss" else "mean over examples" if name == "score" else name)
    if epochs:
        axes = figure.add_subplot(rows, columns, panels)
        axes.plot([epoch.epoch for epoch in epochs], [epoch.learning_rate for epoch in epochs], marker="o", color="C2")
        axes.set_title("learning rate, at the last step of an epoch", fontsize="medium")
        axes.set_ylim(bottom=0)
        _finish(axes)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _draw_panel(axes: Axes, numbers: Sequence[int], values: dict[str, list[float]], *, final: float | None) -> None:
    for place, (split, label) in enumerate(_CURVES.items()):
        # The label stays where a split has no such figure: the first panel makes the legend of all.
        if numbers:
            axes.plot(numbers, values[split], marker="o", color=f"C{place}", label=label)
    if not numbers and final is not None:
        axes.axhline(final, color="C1", label="validation, nothing trained")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.grid(visible=True, alpha=0.3)


def _value(metrics: Metrics, name: str) -> float:
    """The figure of that name, or NaN where there is none: matplotlib leaves NaN out."""
    value = getattr(metrics, name) if name in ("loss", "score") else metrics.others.get(name)
    return math.nan if value is None else float(value)
