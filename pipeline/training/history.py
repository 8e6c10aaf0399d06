"""What training leaves for people: figures per epoch as JSON, and learning curves as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How a network does on one split.

    Args:
        loss: mean cross-entropy per example, in nats.
        accuracy: share of examples whose largest logit is the label's.
    """

    loss: float
    accuracy: float

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f}"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training data. No times: they would differ between two equal runs.

    Args:
        epoch: counted from 1.
        learning_rate: at its last step.
        train: while training, so with dropout, augmentation and label smoothing, over moving weights.
        validation: of the weights at its end, in evaluation mode.
    """

    epoch: int
    learning_rate: float
    train: Metrics
    validation: Metrics


def write_history(path: Path, epochs: Sequence[Epoch], final: Metrics) -> None:
    """Write the figures of all epochs as JSON.

    Args:
        path: of the file.
        epochs: in order; none where nothing was trained.
        final: the written weights on the validation split.
    """
    document = {"epochs": [asdict(one) for one in epochs], "final": {"validation": asdict(final)}}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def draw_learning_curves(path: Path, epochs: Sequence[Epoch], final: Metrics) -> None:
    """Draw loss and accuracy over epochs as a PNG; the same figures give the same bytes.

    Args:
        path: of the file.
        epochs: in order; with none, only the line of the final figures is drawn.
        final: the written weights on the validation split.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    numbers = [one.epoch for one in epochs]
    for place, name in enumerate(("loss", "accuracy")):
        axes = figure.add_subplot(1, 2, place + 1)
        if epochs:
            for split in ("train", "validation"):
                axes.plot(numbers, [getattr(getattr(one, split), name) for one in epochs], marker="o", label=split)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.axhline(getattr(final, name), color="C1", label="validation, nothing trained")
        axes.set_title(f"{name}, at the end {getattr(final, name):.4f}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("cross-entropy in nats" if name == "loss" else "share of examples")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})
