"""The datatypes of tensors in the Open Inference Protocol that an input or an answer has: a closed table."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .outputs import shortest_digits

Datatype = Literal["BOOL", "UINT8", "INT64", "FP32", "FP64", "BYTES"]
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True)
class DatatypeFacts:
    """The facts about a datatype.

    Args:
        dtype: numpy's little-endian dtype; that of objects where the elements are texts.
        longest: number of characters of the longest element in JSON; 0 where that depends on the texts.
    """

    dtype: np.dtype[Any]
    longest: int


DATATYPES: dict[Datatype, DatatypeFacts] = {
    "BOOL": DatatypeFacts(dtype=np.dtype("bool"), longest=len("false")),
    "UINT8": DatatypeFacts(dtype=np.dtype("u1"), longest=len("255")),
    "INT64": DatatypeFacts(dtype=np.dtype("<i8"), longest=len("-9223372036854775808")),
    # Below 1e16 Python writes no exponent.
    "FP32": DatatypeFacts(dtype=np.dtype("<f4"), longest=len("-6843686000000000.0")),
    "FP64": DatatypeFacts(dtype=np.dtype("<f8"), longest=len("-2.2250738585072014e-308")),
    "BYTES": DatatypeFacts(dtype=np.dtype("O"), longest=0),
}
_BY_DTYPE = {facts.dtype: name for name, facts in DATATYPES.items()}


def datatype_of(dtype: np.dtype[Any] | str) -> Datatype:
    """Return the datatype of an array or of an input.

    Raises:
        KeyError: no datatype of the table has this dtype.
    """
    return _BY_DTYPE[np.dtype(dtype).newbyteorder("<")]


def binary_data(array: NDArray[Any]) -> bytes:
    """Write a tensor as binary data: its elements in order, each text behind its length in four bytes."""
    if array.dtype != np.object_:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [text.encode("utf-8", "surrogatepass") for text in array.ravel().tolist()]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def json_data(array: NDArray[Any]) -> list[Any]:
    """Write a tensor as one flat list of JSON values, from which the same values can be read again."""
    flat = array.ravel()
    values: list[Any] = (shortest_digits(flat) if flat.dtype == np.float32 else flat).tolist()
    return values


def longest_element(datatype: Datatype, texts: Iterable[str]) -> int:
    """Count the bytes of the longest element in an answer, in JSON with a comma or as binary data.

    Args:
        datatype: datatype of the tensor.
        texts: texts, one of which each element is; they count for `BYTES` only.
    """
    if datatype == "BYTES":
        # Binary data has four bytes in place of two quotes and a comma, and no character takes more bytes than in JSON.
        return max(len(json.dumps(text)) for text in texts) + 2
    facts = DATATYPES[datatype]
    return max(facts.longest + len(","), facts.dtype.itemsize)


def split_texts(data: memoryview, count: int) -> list[bytes] | None:
    """Read the elements of a `BYTES` tensor, each behind its length in four bytes.

    Args:
        data: the whole of the tensor's binary data.
        count: number of elements.

    Returns:
        The elements; None where the data is not exactly so many of them.
    """
    texts: list[bytes] = []
    place = 0
    while len(texts) < count and place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        texts.append(bytes(data[place : place + length]))
        place += length  # where the data ends earlier, this is behind its end
    return texts if len(texts) == count and place == len(data) else None
