"""The pictures of a folder and of all folders in it, as a source."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.picture_kinds import PICTURE_FILE, picture_kind
from pipeline.engine.places import os_error_text
from pipeline.errors import DataError, FileError, UsageError
from pipeline.scoring.sources import Request

# A file of such a name is meant as a picture, whatever it holds.
_PICTURE_SUFFIXES = frozenset(
    ".apng .avif .bmp .gif .heic .heif .jfif .jpe .jpeg .jpg .jp2 .jxl .png .ppm .tga .tif .tiff .webp".split()  # noqa: SIM905
)
# The kind of a picture is told by fewer bytes.
_HEAD_BYTES = 64
_SHOWN = 3
# Names of the folders that hold a part of the data.
_TRAINING = frozenset({"train", "training"})
_HELD_OUT = frozenset({"val", "valid", "validation", "test", "testing"})
PARTS = _TRAINING | _HELD_OUT


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureTargets:
    """What a file says is right for each of some pictures.

    Args:
        where: path of the file, for messages.
        values: targets as a split stores them, (N, ...), in the order of the pictures.
        outputs: names of the outputs that they are of.
        columns: names of the columns that they stand in.
    """

    where: str
    values: NDArray[Any]
    outputs: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Pictures by their paths below a folder, sorted.

    Args:
        root: path of the folder.
        names: paths of the pictures, relative to the folder, with slashes.
        digest: SHA-256 over the paths, sizes and times of change of the pictures.
        notes: lines on what was left out.
        targets: what a file in the folder says is right; None where none was read.
    """

    root: Path
    names: tuple[str, ...]
    digest: str
    notes: tuple[str, ...]
    targets: PictureTargets | None = None
    key: Literal["file", "row"] = "file"
    unit: str = "files"

    @property
    def total(self) -> int:
        """The number of pictures."""
        return len(self.names)

    @property
    def job(self) -> Mapping[str, Any]:
        """The folder."""
        return {"kind": "files", "root": str(self.root.resolve())}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The folder, and the digest of the list."""
        return {"folder": str(self.root.resolve()), "files": len(self.names), "digest": self.digest}

    def requests(self, *, size: int, start: int = 0) -> Iterator[Request]:
        """Yield consecutive pictures."""
        for first in range(start, len(self.names), size):
            part = self.names[first : first + size]
            yield Request(names=part, document={"files": part}, done=first + len(part))


def open_folder(root: Path, inputs: Sequence[InputSpec], *, labels: str | None = None) -> FolderSource:
    """List the pictures of a folder.

    A file is a picture by its first bytes, or by the ending of its name. Hidden files and folders, whose names begin
    with a dot, are left out.

    Args:
        root: path of the folder.
        inputs: inputs of the model.
        labels: name of a file in the folder that is read beside the pictures; None for none.

    Raises:
        UsageError: the model takes no pictures.
        FileError: a folder cannot be read.
        DataError: there are no pictures.
    """
    if len(inputs) != 1 or inputs[0].decoding is None:
        raise UsageError(
            f"{root}: expected a table (.csv) or arrays (.npy, .npz, .safetensors), since this model takes no "
            "pictures, found a folder"
        )
    names, others = [], []
    digest = hashlib.sha256()
    for name, status in sorted(_regular_files(root)):
        if Path(name).suffix.lower() in _PICTURE_SUFFIXES or _holds_picture(root / name):
            names.append(name)
            digest.update(f"{name!r} {status.st_size} {status.st_mtime_ns}\n".encode())
        elif name != labels:
            others.append(name)
    if not names:
        raise DataError(f"{root}: expected at least one picture ({PICTURE_FILE}), found {_in_words(others)}")
    notes = (f"{root}: left out {_in_words(others)}",) if others else ()
    return FolderSource(root=root, names=tuple(names), digest=digest.hexdigest(), notes=notes)


def without_training(source: FolderSource) -> FolderSource:
    """Return the pictures that were held out, where the folder has one folder for training and others beside it."""
    parts = {name.partition("/")[0] for name in source.names}
    trained = {part for part in parts if part.lower() in _TRAINING}
    names = tuple(name for name in source.names if name.partition("/")[0] not in trained)
    if not trained or not any(part.lower() in _HELD_OUT for part in parts):
        return source
    count = len(source.names) - len(names)
    note = f"{source.root}: left out {count:,} pictures of training, in {', '.join(sorted(trained))}"
    return replace(source, names=names, notes=(*source.notes, note))


def _regular_files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path below the folder and status of every file; links are followed, no folder is entered twice."""

    def refuse(error: OSError) -> None:
        raise FileError(f"{error.filename}: expected a folder that can be read, found: {os_error_text(error)}")

    entered = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=refuse):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            path = Path(folder, name)
            try:
                status = path.stat()
            except OSError:  # a link that leads nowhere is no file
                continue
            if stat.S_ISREG(status.st_mode) and not name.startswith("."):
                yield path.relative_to(root).as_posix(), status


def _holds_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return picture_kind(file.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def _in_words(others: Sequence[str]) -> str:
    if not others:
        return "no file at all"
    count = "1 file that is" if len(others) == 1 else f"{len(others):,} files that are"
    shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
    return f"{count} no picture: {shown}"
