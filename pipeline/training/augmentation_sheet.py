"""Draw training pictures as training sees them: wrong augmentation is seen, not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.models.spec import ModelSpec
from pipeline.training.augment import Augmentation
from pipeline.training.examples import Examples, to_examples
from pipeline.training.mixing import Mix

# A row for each picture: first as it is, then in so many looks.
_ROWS = 8
_LOOKS = 7
_INCHES = 1.15
_TITLE_INCHES, _TITLE_CHARACTERS = 0.75, 130


def draw_augmentation(path: Path, spec: ModelSpec, train: Split, augmentation: Augmentation, *, seed: int) -> None:
    """Draw a few training pictures beside what augmentation makes of them, as a PNG; the same seed, the same bytes.

    Args:
        path: path of the file.
        spec: spec of the model, with at least one input that is a picture; the first of these is drawn.
        train: training split; its first examples are drawn.
        augmentation: augmentation that changes at least something.
        seed: seed of the draws, which leave torch's random state as it was.
    """
    examples = to_examples(spec, train.take(slice(_ROWS)), torch.device("cpu"))
    place = examples.pictures.index(True)
    originals_BCHW = examples.take(torch.arange(len(examples)))[place]
    looks = [(originals_BCHW, None), *_looks(examples, augmentation, place, seed=seed)]
    sheet, (height, width) = _sheet(
        [[_shown(picture, spec.inputs[place]) for picture in pictures] for pictures, _ in looks]
    )
    figure = Figure(figsize=(_INCHES * len(looks), _INCHES * len(examples) * height / width + _TITLE_INCHES))
    FigureCanvasAgg(figure)
    share = 1 - _TITLE_INCHES / figure.get_figheight()
    # One picture of all: an axis for each takes seconds to draw.
    axes = figure.add_axes((0.0, 0.0, 1.0, share))
    axes.set_axis_off()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    for column, (_, mix) in enumerate(looks):
        middle = (column + 0.5) / len(looks)
        figure.text(middle, share + 0.003, _column(column, mix), fontsize=7, ha="center", va="bottom")
    mixed = "; what is mixed in is the look above it" if augmentation.mixing.keys else ""
    title = f"Training pictures, and {_LOOKS} looks of each: {', '.join(_words(augmentation))}{mixed}"
    figure.text(0.5, 0.995, fill(title, _TITLE_CHARACTERS), fontsize=8, ha="center", va="top")
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def _sheet(columns: Sequence[Sequence[NDArray[Any]]]) -> tuple[NDArray[Any], tuple[int, int]]:
    """Pictures side by side with white gaps, as one picture, and the height and width of each with its gap."""
    gap = max(1, max(columns[0][0].shape[:2]) // 16)
    pad = ((gap, 0), (gap, 0), *((0, 0),) * (columns[0][0].ndim - 2))
    rows = [
        np.concatenate([np.pad(column[row], pad, constant_values=1.0) for column in columns], axis=1)
        for row in range(len(columns[0]))
    ]
    sheet = np.concatenate(rows)
    return sheet, (len(rows[0]), sheet.shape[1] // len(columns))


def _looks(examples: Examples, augmentation: Augmentation, place: int, *, seed: int) -> list[tuple[Tensor, Mix | None]]:
    """Look at the same examples several times, as epochs of a training do."""
    looks = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(_LOOKS):
            moves_B3 = augmentation.draw(len(examples))
            inputs, mix = augmentation.apply(examples.take(torch.arange(len(examples)), moves_B3), examples.pictures)
            looks.append((inputs[place], mix))
    return looks


def _shown(picture_CHW: Tensor, spec: InputSpec) -> NDArray[Any]:
    """Values from 0 to 1 as (H, W, 3), or (H, W) of the first channel where there are not three."""
    low, high = spec.low, spec.high
    if not np.isfinite([low, high]).all() or low >= high:
        low, high = float(picture_CHW.min()), float(picture_CHW.max())
    values_CHW = ((picture_CHW.float() - low) / max(high - low, 1e-9)).clamp(0, 1).numpy()
    shown: NDArray[Any] = values_CHW.transpose(1, 2, 0) if len(values_CHW) == 3 else values_CHW[0]
    return shown


def _column(column: int, mix: Mix | None) -> str:
    if column == 0:
        return "as it is"
    return f"look {column}" if mix is None else f"look {column}\n{mix.share:.2f} + {1 - mix.share:.2f} above"


def _words(augmentation: Augmentation) -> list[str]:
    """The settings that change pictures, with their values."""
    words = []
    for key in augmentation.keys:
        holder = next(
            part for part in (augmentation, augmentation.transforms, augmentation.mixing) if hasattr(part, key)
        )
        value = getattr(holder, key)
        shown = " to ".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value:g}"
        words.append(key if value is True else f"{key} {shown}")
    return words
