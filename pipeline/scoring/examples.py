"""Reads the examples of a request in the process that answers them: picture files, rows of a table, rows of arrays.

Nothing is read ahead, so that a batch is all that is in memory. What cannot be an input of the model is a `BadRequest`
in the place of its example, with the words that a server would answer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.columns import row_values
from pipeline._handlers.decode import InputSpec, decode_image
from pipeline._handlers.domain import NO_MISSING, check_values
from pipeline._handlers.nested_lists import input_array
from pipeline._handlers.sizes import require_sizes
from pipeline.data.table_cells import MISSING_NUMBERS, number_of

# Larger than any picture within the limit on pixels. A larger file is refused before it is read into memory.
_MOST_FILE_BYTES = 1 << 29

Instance = dict[str, NDArray[Any]]
# Name of a file, or number of a row, with the example or the reason why there is none.
Example = tuple[str | int, Instance | BadRequest]
Read = Callable[[Mapping[str, Any]], Iterator[Example]]


def reader_of(job: Mapping[str, Any], inputs: Sequence[InputSpec]) -> Read:
    """Return the function that reads the examples of a request.

    Args:
        job: description of the data, as the sources in this package write it.
        inputs: inputs of the model, in order.
    """
    match job["kind"]:
        case "files":
            root = job["root"]
            return lambda request: ((name, _picture(root, name, inputs[0])) for name in request["files"])
        case "rows":
            names, width = tuple(job["columns"]), job["width"]
            return lambda request: _rows(request["first"], request["rows"], names, width, inputs[0])
        case "arrays":
            stored = {name: _open_array(**place) for name, place in job["arrays"].items()}
            return lambda request: _array_rows(stored, inputs, range(request["first"], request["end"]))
        case kind:
            raise ValueError(f"expected data of files, rows or arrays, found {kind}")


def _picture(root: str, name: str, spec: InputSpec) -> Instance | BadRequest:
    try:
        with open(f"{root}/{name}", "rb") as file:  # noqa: PTH123 - a path object costs as much as opening the file
            if (size := os.fstat(file.fileno()).st_size) > _MOST_FILE_BYTES:
                return BadRequest("file too large", expected=f"at most {_MOST_FILE_BYTES} bytes", found=f"{size} bytes")
            body = file.read()
    except OSError as error:
        return BadRequest("file cannot be read", expected="a readable file", found=error.strerror or str(error))
    try:
        return {spec.name: decode_image(body, spec)}
    except BadRequest as refusal:
        return refusal


def _rows(
    first: int, rows: Sequence[Sequence[str] | int], names: Sequence[str], width: int, spec: InputSpec
) -> Iterator[Example]:
    for row, cells in enumerate(rows, first):
        yield row, _row(cells, names, width, spec)


def _row(cells: Sequence[str] | int, names: Sequence[str], width: int, spec: InputSpec) -> Instance | BadRequest:
    """Return the values of a row; cells are its number of cells where that is not the width of the table."""
    where = f"input {spec.name}"
    if isinstance(cells, int):
        return BadRequest("wrong number of cells", expected=str(width), found=str(cells))
    try:
        texts = [bool(column.categories) for column in spec.columns] or [False] * len(names)
        values = [_cell(*cell, spec) for cell in zip(cells, names, texts, strict=True)]
        if spec.columns:
            values = [None if math.isnan(value) else value for value in row_values(values, where, spec.columns)]
        return {spec.name: input_array(values, where, spec)}
    except BadRequest as refusal:
        return refusal


def _cell(cell: str, name: str, holds_text: bool, spec: InputSpec) -> str | float | None:  # noqa: FBT001
    """Return what a cell says: a text, a number, or None where the value is missing and may be."""
    cell = cell.strip()
    kind = "a category" if holds_text else "a number" if spec.dtype == "float32" else "an integer"
    if not cell or (not holds_text and cell.lower() in MISSING_NUMBERS):
        if spec.missing:
            return None
        shown = f"{cell!r}, a missing value" if cell else "an empty cell"
        raise BadRequest(f"column {name}: no value", expected=f"{kind}{NO_MISSING}", found=shown)
    if holds_text:
        return cell
    number = number_of(cell)
    if spec.dtype != "float32" and number is not None:
        number = int(number) if number.is_integer() else None
    if number is None:
        raise BadRequest(f"column {name}: wrong kind of value", expected=kind, found=repr(cell))
    return number


def _open_array(file: str, key: str | None) -> Callable[[range], NDArray[Any]]:
    """Open one array of a file for reading by rows.

    Args:
        file: path of a `.npy` file, or of a `.safetensors` file.
        key: name of the array in a safetensors file; None for a `.npy` file.
    """
    if key is None:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        return lambda rows: np.array(mapped[rows.start : rows.stop])
    stored: Any = safe_open(file, framework="numpy").get_slice(key)  # type: ignore[no-untyped-call]
    return lambda rows: np.array(stored[rows.start : rows.stop])


def _array_rows(
    arrays: Mapping[str, Callable[[range], NDArray[Any]]], inputs: Sequence[InputSpec], rows: range
) -> Iterator[Example]:
    values = {spec.name: arrays[spec.name](rows) for spec in inputs}
    for place, row in enumerate(rows):
        yield row, _checked({name: array[place] for name, array in values.items()}, inputs)


def _checked(values: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]) -> Instance | BadRequest:
    """Check one example's values as a request's are checked, and bring them to the dtypes of the inputs."""
    instance = {}
    try:
        for spec in inputs:
            array = values[spec.name]
            if array.dtype.kind == "f" and not np.isinf(array).any():
                with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite and is named below
                    array = array.astype(np.float32)
            check_values(array, spec)  # this comes before the cast to a narrower integer, which would wrap
            instance[spec.name] = array.astype(spec.dtype, copy=False)
        require_sizes({name: array.shape for name, array in instance.items()}, inputs)
    except BadRequest as refusal:
        return refusal
    return instance
