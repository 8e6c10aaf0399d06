"""The course of a training, from its history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.pages.report.document import Curve, Panel, Training

# Figures that grow with the error, by what is in their names. All others are shares, and have an axis together.
_LOSSES = ("loss", "entropy", "error", "mae", "rmse", "distance")
_MOST_CURVES = 6


def training_of(history: Path, *, kept: Sequence[int]) -> Training:
    """Read what a training left of its course.

    Args:
        history: path of `history.json`.
        kept: epochs whose weights validation chose, of an ensemble one for each member.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        return _training(json.loads(history.read_bytes())["epochs"], kept)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{history.name}: expected the history of a training, found: {error!r}") from error


def _training(epochs: Sequence[Mapping[str, Any]], kept: Sequence[int]) -> Training:
    if not epochs:
        return Training(sentences=("Nothing was trained: the recipe brings the weights.",))
    numbers = tuple(int(epoch["epoch"]) for epoch in epochs)
    names = list(dict.fromkeys(name for epoch in epochs for name in (*epoch["train"], *epoch["validation"])))
    losses, shares = [name for name in names if _is_loss(name)], [name for name in names if not _is_loss(name)]
    panels = [
        _panel("loss", losses[:1], epochs),
        _panel("scores" if len(shares) > 1 else "score", shares[:_MOST_CURVES], epochs),
        Panel(
            label="learning rate",
            curves=(Curve(name="learning rate", values=tuple(epoch["learning_rate"] for epoch in epochs)),),
        ),
    ]
    return Training(
        sentences=(_sentence(len(epochs), kept),),
        epochs=numbers,
        kept=kept[0] if len(kept) == 1 else None,
        panels=tuple(panel for panel in panels if panel.curves),
    )


def _sentence(epochs: int, kept: Sequence[int]) -> str:
    trained = f"The float network was trained for {epochs} epoch{'' if epochs == 1 else 's'}"
    if not kept:
        return f"{trained}; the last epoch's weights were kept."
    which = ", ".join(map(str, kept))
    plural = "epoch" if len(kept) == 1 else "epochs"
    return (
        f"{trained}; validation chose the weights of {plural} {which}, so that figures on validation are a little too "
        "good for float."
    )


def _is_loss(name: str) -> bool:
    return any(part in name.lower() for part in _LOSSES)


def _panel(label: str, names: Sequence[str], epochs: Sequence[Mapping[str, Any]]) -> Panel:
    curves = []
    for name in names:
        for split in ("train", "validation"):
            values = tuple(epoch[split].get(name) for epoch in epochs)
            if any(value is not None for value in values):
                curves.append(Curve(name=f"{name.replace('_', ' ')}, {split}", values=values))
    return Panel(label=label, curves=tuple(curves[:_MOST_CURVES]))
