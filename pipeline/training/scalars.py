"""The figures of a training as curves have them: one number by name for each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def epoch_scalars(epoch: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an epoch by name, as the document `history.json` holds the epoch.

    A name is that of the figure and of the split, such as `loss/validation`, so that TensorBoard draws both splits of a
    figure into one group.
    """
    scalars = {
        f"{name}/{split}": float(value) for split in ("train", "validation") for name, value in epoch[split].items()
    }
    return {**dict(sorted(scalars.items())), "learning_rate": float(epoch["learning_rate"])}
