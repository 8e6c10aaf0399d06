"""Save and load all that training needs to go on after an interruption, in one file without pickled code."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.engine.kept import Log, read_kept, write_kept
from pipeline.training.history import Epoch, Metrics

FILE = "checkpoint.kept"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training run at the end of an epoch.

    Args:
        network: state dict of the network.
        optimizer: state dict of the optimizer.
        schedule: state dict of the schedule.
        random: torch's global random state, by device type.
        epochs: figures of the completed epochs; their number says where to continue.
    """

    network: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, torch.Tensor]
    epochs: tuple[Epoch, ...]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in a folder; a kill at any moment leaves the old one or the new one.

    Args:
        folder: existing folder.
        checkpoint: checkpoint to write.
    """
    document = {
        "network": checkpoint.network,
        "optimizer": checkpoint.optimizer,
        "schedule": checkpoint.schedule,
        "random": checkpoint.random,
        "epochs": [asdict(epoch) for epoch in checkpoint.epochs],
    }
    # The file is first written to memory: on a full disk, torch's writer raises an error that does not say so.
    content = io.BytesIO()
    torch.save(document, content)
    write_kept(folder / FILE, content.getvalue())


def load_checkpoint(folder: Path, log: Log) -> Checkpoint | None:
    """Read the checkpoint of a folder.

    Args:
        folder: existing folder.
        log: function that gets a line about a damaged checkpoint.

    Returns:
        The checkpoint; None where there is none or it is damaged, so that training starts over.
    """
    content = read_kept(folder / FILE, log)
    if content is None:
        return None
    document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    epochs = tuple(
        Epoch(
            epoch=epoch["epoch"],
            learning_rate=epoch["learning_rate"],
            train=Metrics(**epoch["train"]),
            validation=Metrics(**epoch["validation"]),
        )
        for epoch in document["epochs"]
    )
    return Checkpoint(
        network=document["network"],
        optimizer=document["optimizer"],
        schedule=document["schedule"],
        random=document["random"],
        epochs=epochs,
    )
