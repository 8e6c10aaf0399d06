"""Draw the learning curves of a training as one picture: losses, metrics, and the learning rate, by epoch."""

from __future__ import annotations

import math
import textwrap
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
_COLUMNS = 2
_PANEL = (5.0, 3.7)
# Room for the legend of all, and above and below a panel, in inches; sides and gaps as shares of a figure or a panel.
_LEGEND_INCHES, _TITLE_INCHES, _AXIS_INCHES = 0.4, 0.35, 0.5
_SIDES = {"left": 0.085, "right": 0.985, "wspace": 0.22, "hspace": 0.36}
# A longer unit has several lines along its axis, in characters.
_UNIT_CHARACTERS = 42
# Errors of values have a unit, and a panel for each output. All other metrics are shares, which one panel holds.
_ERRORS = ("MAE of ", "RMSE of ")
_SHARES = "further metrics"


def draw_learning_curves(
    path: Path,
    epochs: Sequence[Epoch],
    final: Metrics | None,
    *,
    task: Task,
    loss: str,
    kept: Sequence[int] = (),
) -> None:
    """Draw loss, score, further metrics and learning rate over epochs as a PNG; the same figures give the same bytes.

    Both curves of a panel show the same quantity, and the legend says what else differs between them. Further metrics
    are computed on validation alone.

    Args:
        path: path of the file.
        epochs: epochs in order; without any, only lines of the final figures are drawn.
        final: figures of the written weights on the validation split; None where it has no labels to be judged by.
        task: task that names the score.
        loss: name of the loss that is minimised, in words.
        kept: number of the epoch that validation chose, of an ensemble one for each member; empty where the last
            epoch's weights are kept.
    """
    further = _panels([] if final is None else list(final.others))
    panels = 2 + len(further) + bool(epochs)
    rows = math.ceil(panels / _COLUMNS)
    legend = _LEGEND_INCHES * (1.6 if kept else 1)
    height = _PANEL[1] * rows + legend
    figure = Figure(figsize=(_PANEL[0] * _COLUMNS, height))
    FigureCanvasAgg(figure)
    # Matplotlib's own layouts draw everything twice or more, which takes longer than a small training.
    figure.subplots_adjust(**_SIDES, bottom=(legend + _AXIS_INCHES) / height, top=1 - _TITLE_INCHES / height)
    numbers = [epoch.epoch for epoch in epochs]
    for place, name in enumerate(("loss", "score")):
        axes = figure.add_subplot(rows, _COLUMNS, place + 1)
        last = None if final is None else _value(final, name)
        for color, (split, label) in enumerate(_CURVES.items()):
            values = [_value(getattr(epoch, split), name) for epoch in epochs]
            _draw(axes, numbers, values, color=color, label=label)
        for number in sorted({*kept}):
            which = "" if len(kept) == 1 else f" of {kept.count(number)} of {len(kept)} members"
            axes.axvline(number, color="C1", linestyle=":", label=f"epoch {number}{which}: kept, chosen by validation")
        if not epochs and last is not None:
            axes.axhline(last, color="C1", label="validation, nothing trained")
        at_the_end = "unknown without labels" if last is None else f"{last:.4f}"
        axes.set_title(
            f"{task.metric if name == 'score' else name}, on validation at the end {at_the_end}", fontsize="medium"
        )
        _finish(axes, loss if name == "loss" else "mean over examples")
    for place, (title, names) in enumerate(further.items(), start=3):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        for color, name in enumerate(names, start=3):
            last = math.nan if final is None else _value(final, name)
            values = [_value(epoch.validation, name) for epoch in epochs] or [last]
            _draw(axes, numbers or [0], values, color=color, label=f"{name}, at the end {last:.4g}")
        axes.set_title(f"{title}, on validation", fontsize="medium")
        axes.legend(fontsize="small")
        _finish(axes, "mean over examples" if title != _SHARES else "share")
    if epochs:
        axes = figure.add_subplot(rows, _COLUMNS, panels)
        _draw(axes, numbers, [epoch.learning_rate for epoch in epochs], color=2, label="")
        axes.set_title("learning rate, at the last step of an epoch", fontsize="medium")
        axes.set_ylim(bottom=0)
        _finish(axes, "learning rate")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=2)
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """The names of further metrics by the title of the panel that shows them."""
    panels: dict[str, list[str]] = {}
    for name in names:
        outputs = [name.removeprefix(error) for error in _ERRORS if name.startswith(error)]
        panels.setdefault(f"errors of {outputs[0]}" if outputs else _SHARES, []).append(name)
    return panels


def _draw(axes: Axes, numbers: Sequence[int], values: Sequence[float], *, color: int, label: str) -> None:
    if numbers:
        axes.plot(numbers, values, marker="o", markersize=4, color=f"C{color}", label=label)


def _finish(axes: Axes, unit: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(textwrap.fill(unit, _UNIT_CHARACTERS))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.grid(visible=True, alpha=0.3)


def _value(metrics: Metrics, name: str) -> float:
    """The figure of that name, or NaN where there is none: matplotlib leaves NaN out."""
    value = getattr(metrics, name) if name in ("loss", "score") else metrics.others.get(name)
    return math.nan if value is None else float(value)
