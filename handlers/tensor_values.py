"""The values of a request's tensors: from JSON, flat or nested, or from binary data, to one array for each example."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .datatypes import DATATYPES, datatype_of, split_texts
from .decode import InputSpec, MadeUp, decode_image
from .domain import check_values
from .effort import Effort
from .nested_lists import as_input, input_array, number_array
from .picture_kinds import PICTURE_FILE
from .picture_text import picture_of_text
from .tensor_request import Tensor
from .tensor_text import ListText, wrong_number

_EVERYTHING_OCCURS = set(get_args(MadeUp))
_PICTURES = '"datatype": "BYTES", "data": ["<base64 of a picture file>", ...]'


def tensor_examples(tensor: Tensor, binary: memoryview | None, effort: Effort) -> Sequence[NDArray[Any]]:
    """Return the array of each example of a tensor, in the input's dtype, each value checked.

    Args:
        tensor: the tensor, whose shape fits its input.
        binary: its binary data, as long as it says; None where its values are in the JSON.
        effort: the resources that the request may still use.

    Raises:
        BadRequest: a value is wrong; the text says which, by its place in the tensor or in the instance.
    """
    if tensor.pictures:
        return _decoded(_picture_files(tensor, binary), tensor.spec, effort)
    if binary is not None:
        return _binary_examples(binary, tensor)
    spec, data, shape = tensor.spec, tensor.data, tensor.shape
    if isinstance(data, ListText):
        if data.nested and len(shape) > 1:
            return _nested_examples(data.examples(replace(spec, columns=(), decoding=None)), tensor, effort)
        return _checked(data.numbers(math.prod(shape), spec).reshape(shape), spec)
    if not isinstance(data, list):
        raise BadRequest(f"input {spec.name}: wrong data", expected="a list", found=type(data).__name__)
    if len(shape) > 1 and data and isinstance(data[0], list):
        return _nested_examples(data, tensor, effort)
    if len(data) != math.prod(shape):
        raise wrong_number(spec, math.prod(shape), str(len(data)))
    return _checked(number_array(data, f"input {spec.name}", spec).reshape(shape), spec)


def _binary_examples(binary: memoryview, tensor: Tensor) -> Sequence[NDArray[Any]]:
    spec = tensor.spec
    values = np.frombuffer(binary, dtype=DATATYPES[datatype_of(spec.dtype)].dtype)
    array: NDArray[Any] = values.reshape(tensor.shape).astype(spec.dtype, copy=False)
    if not array.flags.aligned:  # behind a JSON text of any length, numbers lie where a runtime may not expect them
        array = array.copy()
    if set(spec.occurs) == _EVERYTHING_OCCURS:
        check_values(array, spec)
    else:
        for example in array:
            check_values(example, spec)
    return list(array)


def _checked(array: NDArray[Any], spec: InputSpec) -> Sequence[NDArray[Any]]:
    """Check values from JSON, (N, *shape), all at once where that is the same as one example after the other."""
    if set(spec.occurs) == _EVERYTHING_OCCURS:
        return list(as_input(array, spec))
    return [as_input(example, spec) for example in array]


def _nested_examples(values: Iterable[Any], tensor: Tensor, effort: Effort) -> Sequence[NDArray[Any]]:
    spec, examples = tensor.spec, []
    for index, value in enumerate(values):
        effort.check(index)
        where = f"instance {index}, input {spec.name}"
        if index == tensor.count:
            raise _wrong_count(tensor, "more")
        example = input_array(value, where, spec)
        if example.shape != tensor.shape[1:]:
            raise BadRequest(
                f"{where}: another shape than that of the tensor",
                expected=str(list(tensor.shape[1:])),
                found=str(list(example.shape)),
            )
        examples.append(example)
    if len(examples) != tensor.count:
        raise _wrong_count(tensor, str(len(examples)))
    return examples


def _picture_files(tensor: Tensor, binary: memoryview | None) -> Sequence[bytes | str]:
    """Return a file for each example, or its text."""
    where = f"input {tensor.spec.name}"
    if binary is not None:
        files = split_texts(binary, tensor.count)
        if files is None:
            raise BadRequest(
                f"{where}: wrong binary data",
                expected=f"{tensor.count} of {PICTURE_FILE}, each behind its length in four bytes",
                found=f"{len(binary)} bytes that are not so divided",
            )
        return files
    texts = tensor.data.texts(tensor.spec) if isinstance(tensor.data, ListText) else tensor.data
    if not isinstance(texts, list):
        raise BadRequest(f"{where}: wrong data", expected=_PICTURES, found=type(texts).__name__)
    if len(tensor.shape) > 1 and all(isinstance(text, list) and len(text) == 1 for text in texts):
        texts = [text[0] for text in texts]
    if len(texts) != tensor.count:
        raise _wrong_count(tensor, str(len(texts)))
    others = [text for text in texts if not isinstance(text, str)]
    if others:
        raise BadRequest(f"{where}: wrong data", expected=_PICTURES, found=type(others[0]).__name__)
    return texts


def _decoded(files: Sequence[bytes | str], spec: InputSpec, effort: Effort) -> Sequence[NDArray[Any]]:
    effort.pixels.require(len(files), spec.shape[1] * spec.shape[2])
    pictures = []
    for index, file in enumerate(files):
        effort.check(index)
        if isinstance(file, str):
            file = picture_of_text(file, f"instance {index}, input {spec.name}", _PICTURES)  # noqa: PLW2901
        pictures.append(decode_image(file, spec, effort.pixels))
    return pictures


def _wrong_count(tensor: Tensor, found: str) -> BadRequest:
    return BadRequest(
        f"input {tensor.spec.name}: examples of the wrong number",
        expected=f"{tensor.count}, as its shape says",
        found=found,
    )
