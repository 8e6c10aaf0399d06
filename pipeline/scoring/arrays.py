"""The rows of arrays in a file, as a source: `.npy`, `.npz`, or safetensors such as a split of a build."""

from __future__ import annotations

import errno
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.sizes import fits_shape
from pipeline.engine.zip_errors import ZIP_ERRORS
from pipeline.errors import DataError
from pipeline.scoring.sources import Request

LABELS = "labels"
_INPUT = "input."
_NPY = ".npy"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an array lies.

    Args:
        file: a `.npy` file, or a `.safetensors` file.
        key: name of the array in a safetensors file; None for a `.npy` file.
    """

    file: Path
    key: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the fields as JSON values."""
        return {"file": str(self.file.resolve()), "key": self.key}


@dataclass(frozen=True, kw_only=True)
class ArraysSource:
    """Rows of one array for each input.

    Args:
        path: file that the arrays come from.
        places: where the array of each input lies.
        total: number of rows.
        labels: where the array of targets lies; None where there is none.
    """

    path: Path
    places: Mapping[str, Place]
    total: int
    labels: Place | None = None
    key: Literal["file", "row"] = "row"
    unit: str = "rows"
    notes: tuple[str, ...] = ()

    @property
    def job(self) -> Mapping[str, Any]:
        """The places of the arrays."""
        return {"kind": "arrays", "arrays": {name: place.to_json() for name, place in self.places.items()}}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, its size and its time of change."""
        return file_identity(self.path)

    def requests(self, *, size: int, start: int = 0) -> Iterator[Request]:
        """Yield consecutive rows."""
        for first in range(start, self.total, size):
            end = min(first + size, self.total)
            yield Request(names=range(first, end), document={"first": first, "end": end}, done=end)


def file_identity(path: Path) -> dict[str, Any]:
    """What tells a file from what it was before, as JSON values."""
    status = path.stat()
    return {"file": str(path.resolve()), "size": status.st_size, "changed": status.st_mtime_ns}


def open_arrays(path: Path, inputs: Sequence[InputSpec]) -> ArraysSource:
    """Find the array of each input in a file; nothing but shapes and dtypes is read.

    Arrays have the names of the inputs, with or without `input.` in front; one array that is alone is that of the only
    input.

    Raises:
        DataError: the file cannot be read, an array is missing, or has another shape or kind of numbers.
    """
    with ExitStack() as stack:
        try:
            source = _open(path, inputs, stack)
        except (*ZIP_ERRORS, SafetensorError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # what absurd offsets in a zip lead to
                raise
            raise DataError(f"{path}: expected arrays of numbers, found: {' '.join(str(error).split())}") from error
        # Unpacked arrays go when nobody has the source any more.
        weakref.finalize(source, stack.pop_all().close)
    return source


def _open(path: Path, inputs: Sequence[InputSpec], stack: ExitStack) -> ArraysSource:
    match path.suffix.lower():
        case ".npy":
            stored = {"": Place(file=path)}
        case ".npz":
            scratch = Path(tempfile.mkdtemp(prefix="arrays-"))
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            stored = _unpacked(path, scratch)
        case _:
            with safe_open(path, framework="numpy") as opened:
                stored = {key: Place(file=path, key=key) for key in opened.keys()}  # noqa: SIM118
    places = _places(path, stored, inputs)
    counts = {spec.name: _check(path, places[spec.name], spec) for spec in inputs}
    if len(set(counts.values())) > 1:
        raise DataError(f"{path}: expected as many rows of each input, found {counts}")
    total = next(iter(counts.values()))
    if not total:
        raise DataError(f"{path}: expected at least one row, found none")
    return ArraysSource(path=path, places=places, total=total, labels=stored.get(LABELS))


def read_rows(place: Place, rows: slice = slice(None)) -> NDArray[Any]:
    """Read some rows of an array into memory."""
    if place.key is None:
        return np.array(np.load(place.file, mmap_mode="r", allow_pickle=False)[rows])
    with safe_open(place.file, framework="numpy") as opened:
        array: NDArray[Any] = np.array(opened.get_slice(place.key)[rows])
        return array


def _unpacked(path: Path, folder: Path) -> dict[str, Place]:
    """Unpack the arrays of a `.npz` file, because only unpacked ones can be read by rows."""
    places = {}
    with zipfile.ZipFile(path) as packed:
        for number, member in enumerate(packed.infolist()):
            if not member.filename.endswith(_NPY):
                continue
            file = folder / f"{number}{_NPY}"
            with packed.open(member) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target, length=1 << 20)
            places[member.filename.removesuffix(_NPY)] = Place(file=file)
    return places


def _places(path: Path, stored: Mapping[str, Place], inputs: Sequence[InputSpec]) -> dict[str, Place]:
    alone = [name for name in stored if name != LABELS]
    places = {}
    for spec in inputs:
        names = [name for name in (f"{_INPUT}{spec.name}", spec.name) if name in stored]
        if not names and len(inputs) == len(alone) == 1:
            names = alone
        if not names:
            raise DataError(
                f"{path}: expected an array of input {spec.name}, found {', '.join(sorted(stored)) or 'no array'}"
            )
        places[spec.name] = stored[names[0]]
    return places


def _check(path: Path, place: Place, spec: InputSpec) -> int:
    """Check shape and dtype of an array, and count its rows."""
    shape: tuple[int, ...]
    if place.key is None:
        header = np.load(place.file, mmap_mode="r", allow_pickle=False)
        shape, dtype = header.shape, header.dtype
    else:
        with safe_open(place.file, framework="numpy") as opened:
            part = opened.get_slice(place.key)
            shape = tuple(part.get_shape())
            dtype = np.asarray(part[:0] if shape and shape[0] else part[:]).dtype
    where = f"{path}: input {spec.name}"
    if not shape or (shape[0] and not fits_shape(shape[1:], spec)):
        sizes = ["any" if axis in spec.dynamic_axes else str(size) for axis, size in enumerate(spec.shape)]
        raise DataError(f"{where}: expected shape (N, {', '.join(sizes)}), found {shape}")
    kinds = "f" if spec.dtype == "float32" else "iu"
    if dtype.kind not in kinds:
        raise DataError(f'{where}: expected {spec.dtype}, found {dtype}; convert it with .astype("{spec.dtype}")')
    return shape[0]
