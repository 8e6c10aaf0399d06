"""From a request body, in any of its forms, to the arrays a model takes."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from handlers.decode import BadRequest, InputSpec, PixelBudget, decode_image, picture_kind

# TorchServe's own default for a request; a larger one never reaches a worker there.
MAX_BODY_BYTES = 6_553_500
# More than this in one request starves every other client of the worker.
MAX_INSTANCES = 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """A decoded body.

    Args:
        instances: one array per input name for each example; arrays have the inputs' dtypes and shapes.
        listed: whether the body was `{"instances": [...]}`, so that the answer is a list as well.
    """

    instances: tuple[dict[str, NDArray[Any]], ...]
    listed: bool


def decode_request(body: object, content_type: str, inputs: Sequence[InputSpec]) -> Request:
    """Decode a request body of any accepted form.

    A declared type is believed, except that a picture is recognised by its first bytes and an unknown
    type (curl declares a form unless told otherwise) is decided by what the body holds.

    Args:
        body: the bytes as received; text, or whatever JSON can hold, where the server decoded it already.
        content_type: the declared media type, with or without parameters; empty if there was none.
        inputs: the model's inputs.

    Returns:
        At least one instance, each checked against the inputs.

    Raises:
        BadRequest: with what was expected and found.
    """
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, (bytes, bytearray)):  # a stock TorchServe parses JSON itself: an object, a list, a number
        return _from_document(body, inputs)
    body = bytes(body)
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(
            "request body too large", expected=f"at most {MAX_BODY_BYTES} bytes", found=f"{len(body)} bytes", status=413
        )
    if not body:
        raise BadRequest("empty request body", expected=_forms(inputs), found="0 bytes")
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        return _from_document(_parse(body), inputs)
    if media == "application/octet-stream":
        return _from_raw(body, inputs)
    if media.startswith("image/") or picture_kind(body) is not None:
        return _from_picture(body, media, inputs)
    if body.lstrip()[:1] == b"{":
        return _from_document(_parse(body), inputs)
    shown = f"content type {media or '(none)'} and a body beginning with {body[:8]!r}"
    raise BadRequest("request body of an unknown kind", expected=_forms(inputs), found=shown, status=415)


def check_values(array: NDArray[Any], spec: InputSpec) -> None:
    """Check that every value of an array is finite and inside the input's domain, and that such an array occurs.

    Args:
        array: of the input's dtype, any shape.
        spec: the input.

    Raises:
        BadRequest: naming the first value outside and its position, or the one value that does not occur alone.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        position = _first(~np.isfinite(array))
        raise BadRequest(
            f"input {spec.name}: non-finite value at {list(position)}",
            expected="finite numbers",
            found=str(array[position]),
        )
    low: Any
    high: Any
    if spec.dtype == "float32":  # bounds in the input's own precision, so that a bound itself is always inside
        low, high = np.float32(spec.low), np.float32(spec.high)
    else:
        low, high = max(spec.low, np.iinfo(spec.dtype).min), min(spec.high, np.iinfo(spec.dtype).max)
    if array.size and (array.min() < low or array.max() > high):
        position = _first((array < low) | (array > high))
        raise BadRequest(
            f"input {spec.name}: value out of its domain at {list(position)}",
            expected=f"{spec.low:g} to {spec.high:g}",
            found=str(array[position]),
        )
    for kind, value in (("zeros", spec.nearest_to_zero), ("maximum", spec.high)):
        if kind not in spec.occurs and array.size and (array == value).all():
            raise BadRequest(
                f"input {spec.name}: one value everywhere, which this model is not made for",
                expected=f"another value than {value:g} somewhere",
                found=f"{value:g} alone",
            )


def _from_picture(body: bytes, media: str, inputs: Sequence[InputSpec]) -> Request:
    spec = inputs[0]
    if len(inputs) != 1 or spec.decoding is None:
        raise BadRequest(
            "this model takes no picture as a body",
            expected=_forms(inputs),
            found=media or "a picture",
            status=415,
        )
    return Request(instances=({spec.name: decode_image(body, spec)},), listed=False)


def _from_raw(body: bytes, inputs: Sequence[InputSpec]) -> Request:
    spec = inputs[0]
    if len(inputs) != 1 or spec.dynamic_axes:
        raise BadRequest(
            "raw bytes need a model of one input of fixed shape",
            expected=_forms(inputs),
            found="application/octet-stream",
            status=415,
        )
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    expected = math.prod(spec.shape) * dtype.itemsize
    if len(body) != expected:
        if spec.decoding is not None and picture_kind(body) is not None:
            return _from_picture(body, "application/octet-stream", inputs)
        raise BadRequest(
            f"input {spec.name}: raw body of the wrong length",
            expected=f"{expected} bytes ({spec.dtype} of shape {list(spec.shape)})",
            found=f"{len(body)} bytes",
        )
    array = np.frombuffer(body, dtype=dtype).astype(spec.dtype, copy=False).reshape(spec.shape)
    check_values(array, spec)
    return Request(instances=({spec.name: array},), listed=False)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadRequest("request body is not JSON", expected='{"instances": [...]}', found=reason) from error


def _refuse_constant(text: str) -> NoReturn:
    raise BadRequest("non-finite value in JSON", expected="finite numbers", found=text)


def _from_document(document: Any, inputs: Sequence[InputSpec]) -> Request:
    if not isinstance(document, Mapping) or set(document) != {"instances"}:
        found = f"keys {sorted(document)}" if isinstance(document, Mapping) else type(document).__name__
        raise BadRequest("JSON of the wrong form", expected='an object with the one key "instances"', found=found)
    instances = document["instances"]
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        found = f"{len(instances)} of them" if isinstance(instances, list) else type(instances).__name__
        raise BadRequest("instances of the wrong number", expected=f"a list of 1 to {MAX_INSTANCES}", found=found)
    budget = PixelBudget()
    return Request(
        instances=tuple(_instance(instance, index, inputs, budget) for index, instance in enumerate(instances)),
        listed=True,
    )


def _instance(instance: Any, index: int, inputs: Sequence[InputSpec], budget: PixelBudget) -> dict[str, NDArray[Any]]:
    names = [spec.name for spec in inputs]
    if isinstance(instance, dict) and set(instance) == set(names):
        values = instance
    elif len(inputs) == 1 and (not isinstance(instance, dict) or set(instance) == {"b64"}):
        values = {names[0]: instance}
    else:
        found = f"keys {sorted(instance)}" if isinstance(instance, dict) else type(instance).__name__
        raise BadRequest(
            f"instance {index}: wrong inputs", expected=f"an object with the keys {sorted(names)}", found=found
        )
    return {spec.name: _value(values[spec.name], index, spec, budget) for spec in inputs}


def _value(value: Any, index: int, spec: InputSpec, budget: PixelBudget) -> NDArray[Any]:
    where = f"instance {index}, input {spec.name}"
    if isinstance(value, dict):
        if spec.decoding is None or set(value) != {"b64"} or not isinstance(value["b64"], str):
            form = 'nested lists or {"b64": "..."}' if spec.decoding else "nested lists"
            raise BadRequest(f"{where}: wrong form", expected=form, found=f"an object with keys {sorted(value)}")
        try:
            body = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest(f"{where}: not base64", expected="base64 of a PNG or JPEG", found=str(error)) from error
        return decode_image(body, spec, budget)
    array = _numbers(value, where, spec)
    shape_fits = len(array.shape) == len(spec.shape) and all(
        found == expected or (axis in spec.dynamic_axes and found > 0)
        for axis, (found, expected) in enumerate(zip(array.shape, spec.shape, strict=False))
    )
    if not shape_fits:
        sizes = [None if axis in spec.dynamic_axes else size for axis, size in enumerate(spec.shape)]
        raise BadRequest(f"{where}: wrong shape", expected=json.dumps(sizes), found=json.dumps(list(array.shape)))
    if array.dtype.kind == "f" and np.isfinite(array).all():
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite and is named below
            array = array.astype(np.float32)
    check_values(array, spec)  # before the cast to a narrower integer, which would wrap
    return array.astype(spec.dtype, copy=False)


def _numbers(value: Any, where: str, spec: InputSpec) -> NDArray[Any]:
    """Nested lists as an array of float64, int64 or uint64; float32 inputs also take integers."""
    expected = "numbers" if spec.dtype == "float32" else "integers"
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"{where}: wrong shape",
            expected=f"nested lists of shape {list(spec.shape)}",
            found="lists of unequal lengths",
        ) from error
    if array.size and array.dtype.kind not in ("iuf" if spec.dtype == "float32" else "iu"):
        kinds = {
            "b": "true or false",
            "U": "text",
            "O": "null, an object, or a number beyond 64 bits",
            "f": "fractions",
        }
        raise BadRequest(
            f"{where}: wrong dtype", expected=expected, found=kinds.get(array.dtype.kind, str(array.dtype))
        )
    if spec.dtype == "float32":
        return array.astype(np.float64)
    return array


def _first(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in cast("NDArray[np.intp]", np.argwhere(wrong))[0])


def _forms(inputs: Sequence[InputSpec]) -> str:
    """What a body may be, for messages."""
    forms = []
    if len(inputs) == 1:
        spec = inputs[0]
        if spec.decoding is not None:
            forms.append("a PNG or JPEG file")
        if not spec.dynamic_axes:
            size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
            forms.append(f"application/octet-stream of {size} bytes")
    forms.append('application/json {"instances": [...]}')
    return ", or ".join(forms)
