"""The form of a body that holds the values of one example as in memory; its answer is one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from .answer_size import Extras, most_instances
from .bad_request import BadRequest
from .decode import DType, InputSpec
from .domain import check_values
from .effort import Effort
from .request import FormNotTakenError, Request

if TYPE_CHECKING:
    from .description import Serving

RAW_MEDIA = "application/octet-stream"
_LITTLE_ENDIAN: dict[DType, np.dtype[Any]] = {name: np.dtype(name).newbyteorder("<") for name in get_args(DType)}


def raw_length(inputs: Sequence[InputSpec]) -> int | None:
    """Count the bytes of a raw body; None where the model has several inputs, or one whose size is free."""
    spec = inputs[0]
    if len(inputs) != 1 or spec.dynamic_axes:
        return None
    return spec.byte_size


class RawBody:
    """A body of little-endian values of the only input, which has a fixed shape."""

    def accepted(self, inputs: Sequence[InputSpec]) -> str:
        """Describe a body by its number of bytes, where the model takes raw bodies."""
        length = raw_length(inputs)
        return "" if length is None else f"{RAW_MEDIA} of {length} bytes"

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:  # noqa: ARG002
        """Read the values as the only instance."""
        length = raw_length(inputs)
        if length is None:
            raise FormNotTakenError("raw bytes need a model of one input of fixed shape", found=media)
        spec = inputs[0]
        if len(body) != length:
            raise BadRequest(
                f"input {spec.name}: raw body of the wrong length",
                expected=f"{length} bytes ({spec.dtype} of shape {list(spec.shape)})",
                found=f"{len(body)} bytes",
            )
        array: NDArray[Any] = np.ndarray(spec.shape, _LITTLE_ENDIAN[spec.dtype], body)
        if sys.byteorder == "big":
            array = array.astype(spec.dtype)
        check_values(array, spec)
        return Request(instances=({spec.name: array},), form="raw", listed=False)

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
        """Count as for a list of answers: each answer is the same."""
        return most_instances(serving, longest, extras)

    def join(self, answers: Sequence[str]) -> bytes:
        """Write the only answer."""
        return answers[0].encode()
