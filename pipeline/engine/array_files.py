"""Files of arrays (safetensors) that may be larger than memory: read as memory maps, and made to be filled in pieces.

Small files are read into memory, as that is faster where values are used again and again.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

# A file is read into memory if it takes at most this part of it. Training holds the file's values once more on its
# device, and the split for validation beside that.
_SHARE = 4
# The names of the format for numpy's dtypes, in the order in which arrays follow each other in a file
# (safetensors, `Dtype` in tensor.rs: descending).
_NAMES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}
_LENGTH_BYTES = 8
_PIECE_BYTES = 1 << 24
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


# Dtype and shape of an array.
Shape = tuple[np.dtype[Any], tuple[int, ...]]


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or what a container or a limit leaves of it."""
    limits = [int(psutil.virtual_memory().total)]
    for file in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # absent, or `max`
            limits.append(int(file.read_text(encoding="ascii")))
    for name in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        soft, _ = resource.getrlimit(name)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def fits_in_memory(size: int) -> bool:
    """Tell whether values of so many bytes may be held in memory as a whole."""
    return size * _SHARE <= memory_bytes()


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file into memory, or map them if they do not fit there.

    Raises:
        OSError, SafetensorError: the file cannot be read, or is damaged.
    """
    return load_file(path) if fits_in_memory(path.stat().st_size) else map_arrays(path)


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file, read-only: a value is read from the disk when it is used.

    Raises:
        OSError, SafetensorError: the file cannot be read, or is damaged.
    """
    return _map_file(path, writable=False)


def map_to_fill(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file that `create_arrays` made, to go on filling them.

    Raises:
        OSError, SafetensorError: the file cannot be read, or is damaged.
    """
    return _map_file(path, writable=True)


def create_arrays(path: Path, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Make a file of arrays of zeros, and map them to be filled. Filled, it has the bytes that `save_file` would write.

    Args:
        path: file to make; a file there is replaced.
        shapes: dtype and shape of each array, by name.

    Returns:
        The arrays, which write to the file.

    Raises:
        OSError: there is no room for the file.
    """
    places: dict[str, tuple[int, int]] = {}
    end = 0
    order = list(_NAMES)
    for name in sorted(shapes, key=lambda name: (order.index(shapes[name][0].name), name)):
        dtype, shape = shapes[name]
        start, end = end, end + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        places[name] = (start, end)
    header = json.dumps(
        {
            name: {"dtype": _NAMES[shapes[name][0].name], "shape": list(shapes[name][1]), "data_offsets": list(place)}
            for name, place in places.items()
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    header += b" " * (-len(header) % _LENGTH_BYTES)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
        stream.flush()
        # Without its room on the disk, a mapped file would end this process when the disk is full.
        os.posix_fallocate(stream.fileno(), 0, _LENGTH_BYTES + len(header) + end)
    return {
        name: _map(path, *shapes[name], offset=_LENGTH_BYTES + len(header) + start, writable=True)
        for name, (start, _) in places.items()
    }


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, mapped ones in pieces; the same arrays give the same bytes.

    Raises:
        OSError: there is no room for the file.
    """
    if any(isinstance(array, np.memmap) for array in arrays.values()):
        filled = create_arrays(path, {name: (array.dtype, array.shape) for name, array in arrays.items()})
        for name, array in arrays.items():
            for rows in pieces(array):
                filled[name][rows] = array[rows]
        return
    # There is no metadata, because safetensors writes its keys in random order.
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def link_or_copy(source: Path, path: Path) -> None:
    """Give a finished file a second name, which takes no room; where the file system has no such names, copy it."""
    path.unlink(missing_ok=True)
    try:
        path.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, path)


def pieces(array: NDArray[Any]) -> Iterator[slice]:
    """Cut an array along its first axis, so that a piece takes little memory however large the array is."""
    rows = max(1, _PIECE_BYTES // max(1, array.nbytes // max(1, len(array))))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def _map_file(path: Path, *, writable: bool) -> dict[str, NDArray[Any]]:
    with safe_open(path, framework="numpy"):  # checks that names, shapes and places fit the file
        pass
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {
        name: _map(
            path,
            _DTYPES[facts["dtype"]],
            tuple(facts["shape"]),
            offset=_LENGTH_BYTES + length + facts["data_offsets"][0],
            writable=writable,
        )
        for name, facts in header.items()
    }


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], *, offset: int, writable: bool) -> NDArray[Any]:
    if 0 in shape:  # nothing can be mapped
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r+" if writable else "r", offset=offset, shape=shape)
