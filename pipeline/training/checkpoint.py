"""Save and load all that training needs to go on after an interruption: a file for each of the last epochs.

The files hold no pickled code. Each has a digest in front, by which damage is noticed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from pipeline.engine.kept import Log, read_kept, write_kept
from pipeline.errors import FileError, UsageError
from pipeline.training.history import Epoch, epoch_of

# Checkpoints are named with epoch and metric, such as `epoch-0008-accuracy-0.9123.kept`.
_NAME = re.compile(r"epoch-(\d+)-.*\.kept")
# This file holds the number of epochs that the checkpoints beside it were made for.
_PLANNED = "planned-epochs.kept"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training run at the end of an epoch.

    Args:
        network: state dict of the network.
        optimizer: state dict of the optimizer.
        schedule: state of the schedule.
        random: torch's global random state, by device type.
        epochs: figures of the completed epochs; their number says where to continue.
        scaler: state of the gradients' scale in fp16; empty without.
        average: state dict of the averaged weights; empty without.
        best: state dict of the network at its best epoch; empty where the last is kept.
        origin: what the run is made from, by name.
        planned: number of epochs of the whole run.
        processes: number of processes that trained each epoch; empty in checkpoints of releases that knew one alone.
    """

    network: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, torch.Tensor]
    epochs: tuple[Epoch, ...]
    scaler: dict[str, Any]
    average: dict[str, Any]
    best: dict[str, Any]
    origin: dict[str, str]
    planned: int
    processes: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """The checkpoint as the content of a file, which `checkpoint_of` reads."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        document["epochs"] = [asdict(epoch) for epoch in self.epochs]
        # It is first written to memory: on a full disk, torch's writer raises an error that does not say so.
        content = io.BytesIO()
        torch.save(document, content)
        return content.getvalue()


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, metric: str, keep: int) -> None:
    """Write the checkpoint of an epoch; a kill at any moment leaves those before it whole.

    Args:
        folder: existing folder.
        checkpoint: checkpoint to write.
        metric: name of the figure in the file's name.
        keep: number of checkpoints that stay, this one included.
    """
    last = checkpoint.epochs[-1]
    words = re.sub(r"[^A-Za-z0-9]+", "-", metric)
    write_kept(folder / f"epoch-{last.epoch:04d}-{words}-{last.validation.score:.4f}.kept", checkpoint.to_bytes())
    # Later ones are of a longer training that was begun here before.
    for file in [file for file in checkpoint_files(folder) if _epoch_of(file) <= last.epoch][keep:]:
        file.unlink()


def load_checkpoint(folder: Path, log: Log, *, up_to: int | None = None) -> Checkpoint | None:
    """Read the last whole checkpoint of a folder.

    Args:
        folder: existing folder.
        log: function that gets a line about each damaged checkpoint.
        up_to: number of epochs that it may have completed; any number if None.

    Returns:
        The checkpoint; None where there is none, so that training starts over.
    """
    for file in checkpoint_files(folder):
        if up_to is not None and _epoch_of(file) > up_to:
            continue
        content = read_kept(file, log)
        if content is not None:
            return checkpoint_of(content)
    return None


def read_checkpoint(path: Path) -> tuple[Path, Checkpoint]:
    """Read the checkpoint that a user names: a file, or a folder whose last whole one is meant.

    Returns:
        The file, and what is in it.

    Raises:
        FileError: there is none, or it is damaged.
    """
    files = checkpoint_files(path) if path.is_dir() else [path]
    for file in files:
        try:
            content = read_kept(file, lambda _line: None, drop=False)
        except OSError as error:
            raise FileError(f"--resume {file}: expected a checkpoint, found: {error.strerror}") from error
        if content is not None:
            try:
                return file, checkpoint_of(content)
            except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
                raise FileError(
                    f"--resume {file}: expected a checkpoint of pipeline train, found another file; checkpoints are "
                    "called epoch-..."
                ) from error
    what = f"found {len(files)} damaged" if files and files[0].exists() else "found none"
    raise FileError(
        f"--resume {path}: expected a checkpoint of pipeline train, or a folder of them, {what}; they lie in the run "
        "directory, in .scratch/train-..., until training has ended"
    )


def check_origin(checkpoint: Checkpoint, origin: Mapping[str, str], *, path: Path) -> None:
    """Check that a checkpoint that a user names is one of this training.

    Args:
        checkpoint: checkpoint that was read.
        origin: what this training is made from, by name.
        path: path of the checkpoint, for the message.

    Raises:
        UsageError: it is of another training.
    """
    names = sorted({*checkpoint.origin, *origin})
    different = [name for name in names if checkpoint.origin.get(name) != origin.get(name)]
    if different:
        name = different[0]
        more = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
        raise UsageError(
            f"--resume {path}: expected a checkpoint of this training, with {name} = {origin.get(name, 'none')}, found "
            f"{checkpoint.origin.get(name, 'none')}{more}; give the recipe that it was made with"
        )


def checkpoint_files(folder: Path) -> Sequence[Path]:
    """The checkpoints of a folder, the latest epoch first."""
    files = [file for file in folder.glob("epoch-*.kept") if _NAME.fullmatch(file.name)]
    return sorted(files, key=_epoch_of, reverse=True)


def sweep_checkpoints(folder: Path) -> None:
    """Remove what a kill left half-written of checkpoints; nobody else may be writing any there."""
    for file in folder.glob(".epoch-*.kept.*"):
        file.unlink()


def forget_checkpoints(folder: Path, *, keep: int = 0) -> None:
    """Remove all checkpoints of a folder but the last ones."""
    for file in checkpoint_files(folder)[keep:]:
        file.unlink()


def adopt_checkpoint(folder: Path, file: Path) -> None:
    """Make a whole checkpoint the only one of a folder; it may lie there already, or anywhere else."""
    content = read_kept(file, lambda _line: None, drop=False)
    assert content is not None  # it was just read
    for other in checkpoint_files(folder):
        if not other.samefile(file):
            other.unlink()
    if not checkpoint_files(folder):
        completed = len(checkpoint_of(content).epochs)
        write_kept(folder / f"epoch-{completed:04d}-resumed.kept", content)


def planned_epochs(folder: Path, log: Log) -> int | None:
    """The number of epochs that the checkpoints in a folder were made for; None in a new folder."""
    content = read_kept(folder / _PLANNED, log)
    return None if content is None else int(content)


def plan_epochs(folder: Path, epochs: int) -> None:
    """Record the number of epochs that checkpoints are made for."""
    write_kept(folder / _PLANNED, str(epochs).encode())


def _epoch_of(file: Path) -> int:
    match = _NAME.fullmatch(file.name)
    assert match is not None
    return int(match[1])


def checkpoint_of(content: bytes) -> Checkpoint:
    """The checkpoint whose `to_bytes` gave this content."""
    document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    document["epochs"] = tuple(map(epoch_of, document["epochs"]))
    return Checkpoint(**document)
