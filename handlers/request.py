"""From a request body, in any of its forms, to the arrays a model takes."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .answer_size import AnswerRoom
from .bad_request import BadRequest
from .decode import InputSpec, decode_image
from .effort import Effort
from .instance_parser import Instances
from .json_text import SMALL_JSON_BYTES, json_text, key_twice
from .limits import Deadline, Limits
from .nested_lists import NO_MISSING, to_array
from .picture_kinds import PICTURE_FILE, describe_bytes, picture_kind
from .pixel_budget import PixelBudget
from .sizes import require_sizes

# TorchServe's own default for a request; on a stock server a larger one never reaches a worker.
MAX_BODY_BYTES = 6_553_500
# More than this in one request starves every other client of the worker.
MAX_INSTANCES = 1024
_SHOWN_KEYS, _SHOWN_KEY = 8, 40
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A decoded body.

    Args:
        instances: one array per input name for each example; arrays have the inputs' dtypes and shapes.
        listed: whether the body was `{"instances": [...]}`, so that the answer is a list as well.
    """

    instances: tuple[dict[str, NDArray[Any]], ...]
    listed: bool


def decode_request(
    body: object,
    content_type: str,
    inputs: Sequence[InputSpec],
    *,
    limits: Limits | None = None,
    room: AnswerRoom | None = None,
    deadline: Deadline | None = None,
) -> Request:
    """Decode a request body of any accepted form.

    A declared type is believed, except that a picture is recognised by its first bytes and an unknown
    type (curl declares a form unless told otherwise) is decided by what the body holds.

    Args:
        body: the bytes as received; text, or whatever JSON can hold, where the server decoded it already.
        content_type: the declared media type, with or without parameters; empty if there was none.
        inputs: the model's inputs.
        limits: on pictures; without them, only what memory allows.
        room: in the answer.
        deadline: of the worker's call.

    Returns:
        At least one instance, each checked against the inputs.

    Raises:
        BadRequest: with what was expected and found.
    """
    effort = Effort(
        pixels=PixelBudget() if limits is None else PixelBudget(limits.pixels), room=room, deadline=deadline
    )
    effort.check(0)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, (bytes, bytearray)):  # a stock TorchServe parses JSON itself: an object, a list, a number
        return _from_document(body, inputs, effort)
    body = bytes(body)
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(
            "request body too large", expected=f"at most {MAX_BODY_BYTES} bytes", found=f"{len(body)} bytes", status=413
        )
    if not body:
        raise BadRequest("empty request body", expected=_forms(inputs), found="0 bytes")
    media = content_type.partition(";")[0].strip().lower()
    if body.startswith(_GZIP) and media != "application/octet-stream":
        raise _encoded("a body packed by gzip")
    if media == "application/json" or media.endswith("+json"):
        return _from_json(body, inputs, effort)
    if media == "application/octet-stream":
        return _from_raw(body, inputs, effort)
    if media.startswith("image/") or picture_kind(body) is not None:
        return _from_picture(body, media, inputs, effort)
    if body.lstrip()[:1] == b"{":
        return _from_json(body, inputs, effort)
    shown = f"content type {media or '(none)'} and {describe_bytes(body)}"
    raise BadRequest("request body of an unknown kind", expected=_forms(inputs), found=shown, status=415)


def require_no_encoding(header: str, encodings: str) -> None:
    """Refuse a body that was packed for the way, which is never undone here.

    Args:
        header: name of the header.
        encodings: its value, a list with commas; empty if there was none.

    Raises:
        BadRequest: naming the encodings.
    """
    # How a body was cut for the way is undone by the server.
    packed = {encoding.strip().lower() for encoding in encodings.split(",")} - {"", "identity", "chunked"}
    if packed:
        raise _encoded(f"{header}: {', '.join(sorted(packed))}")


def _encoded(found: str) -> BadRequest:
    return BadRequest(
        "packed request body", expected="the body as it is, without a content encoding", found=found, status=415
    )


def check_values(array: NDArray[Any], spec: InputSpec) -> None:
    """Check that every value of an array is finite, or missing where it may be, in the domain, and that it all occurs.

    Args:
        array: of the input's dtype, any shape.
        spec: the input.

    Raises:
        BadRequest: naming the first value outside and its position, or the one value that does not occur alone.
    """
    if array.dtype.kind == "f":
        wrong = np.isinf(array) if spec.missing else ~np.isfinite(array)
        if wrong.any():
            position = _first(wrong)
            raise BadRequest(
                f"input {spec.name}: non-finite value at {list(position)}",
                expected="finite numbers" + (", and NaN for missing values" if spec.missing else NO_MISSING),
                found=str(array[position]),
            )
    low: Any
    high: Any
    if spec.dtype == "float32":  # bounds in the input's own precision, so that a bound itself is always inside
        low, high = np.float32(spec.low), np.float32(spec.high)
    else:
        low, high = max(spec.low, np.iinfo(spec.dtype).min), min(spec.high, np.iinfo(spec.dtype).max)
    # Unlike `min` and `max`, these leave NaN out; nothing else is NaN than what is missing.
    if array.size and (np.fmin.reduce(array, axis=None) < low or np.fmax.reduce(array, axis=None) > high):
        position = _first((array < low) | (array > high))
        raise BadRequest(
            f"input {spec.name}: value out of its domain at {list(position)}",
            expected=f"{spec.low:g} to {spec.high:g}",
            found=str(array[position]),
        )
    for value in _never_alone(spec):
        if array.size and (array == value).all():
            raise BadRequest(
                f"input {spec.name}: one value everywhere, which this model is not made for",
                expected=f"another value than {value:g} somewhere",
                found=f"{value:g} alone",
            )


def occurring(examples: NDArray[Any], spec: InputSpec) -> NDArray[np.bool_]:
    """Which examples are not one value everywhere that, as the input says, never occurs so.

    Args:
        examples: (N, *shape).
        spec: the input.

    Returns:
        (N,).
    """
    occurs = np.ones(len(examples), dtype=np.bool_)
    for value in _never_alone(spec):
        occurs &= ~(examples == value).all(axis=tuple(range(1, examples.ndim)))
    return occurs


def _never_alone(spec: InputSpec) -> list[float]:
    """Values that never fill a whole example."""
    ends = {"zeros": spec.nearest_to_zero, "maximum": spec.high}
    return [value for kind, value in ends.items() if kind not in spec.occurs]


def _from_picture(body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    spec = inputs[0]
    if len(inputs) != 1 or spec.decoding is None:
        raise BadRequest(
            "this model takes no picture as a body",
            expected=_forms(inputs),
            found=media or "a picture",
            status=415,
        )
    return Request(instances=({spec.name: decode_image(body, spec, effort.pixels)},), listed=False)


def _from_raw(body: bytes, inputs: Sequence[InputSpec], effort: Effort) -> Request:
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
            return _from_picture(body, "application/octet-stream", inputs, effort)
        raise BadRequest(
            f"input {spec.name}: raw body of the wrong length",
            expected=f"{expected} bytes ({spec.dtype} of shape {list(spec.shape)})",
            found=f"{len(body)} bytes",
        )
    array = np.frombuffer(body, dtype=dtype).astype(spec.dtype, copy=False).reshape(spec.shape)
    check_values(array, spec)
    return Request(instances=({spec.name: array},), listed=False)


def _from_json(body: bytes, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    with _refused_unless_json(inputs):
        text = json_text(body, inputs, _example(inputs))
    effort = replace(effort, words="true" in text or "false" in text)
    decoder = json.JSONDecoder(parse_constant=_constant(inputs), object_pairs_hook=_unique_keys)
    sizes = [spec.shape[1] * spec.shape[2] for spec in inputs if spec.decoding is not None]
    if sizes:  # before the first of them is decoded
        effort.pixels.require(text.count('"b64"'), min(sizes))
    if len(body) <= SMALL_JSON_BYTES:
        with _refused_unless_json(inputs):
            document = decoder.decode(text)
        return _from_document(document, inputs, effort)
    return _from_instances(_read(Instances(text, inputs, decoder, _example(inputs)), inputs), inputs, effort)


def _read(instances: Iterable[Any], inputs: Sequence[InputSpec]) -> Iterator[Any]:
    with _refused_unless_json(inputs):
        yield from instances


@contextmanager
def _refused_unless_json(inputs: Sequence[InputSpec]) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadRequest("request body is not JSON", expected=_example(inputs), found=reason) from error


def _constant(inputs: Sequence[InputSpec]) -> Callable[[str], float]:
    """Of NaN and infinity, what is a value of an input."""

    def constant(text: str) -> float:
        if text == "NaN" and any(spec.missing for spec in inputs):
            return math.nan
        refusal = "finite numbers" + ("" if any(spec.missing for spec in inputs) else NO_MISSING)
        raise BadRequest("non-finite value in JSON", expected=refusal, found=text)

    return constant


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise key_twice(key)
        document[key] = value
    return document


def _from_document(document: Any, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    if not isinstance(document, Mapping) or set(document) != {"instances"}:
        found = _keys(document) if isinstance(document, Mapping) else type(document).__name__
        raise BadRequest("JSON of the wrong form", expected=_example(inputs), found=found)
    instances = document["instances"]
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        raise _wrong_number(
            f"{len(instances)} of them" if isinstance(instances, list) else type(instances).__name__, inputs
        )
    return _from_instances(instances, inputs, effort)


def _from_instances(instances: Iterable[Any], inputs: Sequence[InputSpec], effort: Effort) -> Request:
    decoded: list[dict[str, NDArray[Any]]] = []
    for index, instance in enumerate(instances):
        effort.check(index)
        if index == MAX_INSTANCES:
            raise _wrong_number("more", inputs)
        decoded.append(_instance(instance, index, inputs, effort))
    if not decoded:
        raise _wrong_number("0 of them", inputs)
    return Request(instances=tuple(decoded), listed=True)


def _wrong_number(found: str, inputs: Sequence[InputSpec]) -> BadRequest:
    return BadRequest(
        "instances of the wrong number",
        expected=f"a list of 1 to {MAX_INSTANCES}, {_example(inputs)}",
        found=found,
    )


def _instance(instance: Any, index: int, inputs: Sequence[InputSpec], effort: Effort) -> dict[str, NDArray[Any]]:
    names = [spec.name for spec in inputs]
    if isinstance(instance, dict) and set(instance) == set(names):
        values = instance
    elif len(inputs) == 1 and (not isinstance(instance, dict) or set(instance) == {"b64"}):
        values = {names[0]: instance}
    else:
        found = _keys(instance) if isinstance(instance, dict) else type(instance).__name__
        raise BadRequest(f"instance {index}: wrong inputs", expected=_example(inputs), found=found)
    arrays = {spec.name: _value(values[spec.name], index, spec, inputs, effort) for spec in inputs}
    require_sizes({name: array.shape for name, array in arrays.items()}, inputs, where=f"instance {index}, ")
    return arrays


def _value(value: Any, index: int, spec: InputSpec, inputs: Sequence[InputSpec], effort: Effort) -> NDArray[Any]:
    where = f"instance {index}, input {spec.name}"
    if isinstance(value, dict):
        if spec.decoding is None or set(value) != {"b64"} or not isinstance(value["b64"], str):
            form = "nested lists, or " if spec.decoding else "nested lists: "
            raise BadRequest(f"{where}: wrong form", expected=form + _example(inputs), found=_keys(value))
        return decode_image(_from_base64(value["b64"], where, inputs), spec, effort.pixels)
    if isinstance(value, str) and spec.decoding is not None:
        raise BadRequest(f"{where}: wrong form", expected=_example(inputs), found=f"text, {value[:16]!r}...")
    array = to_array(value, where, spec, words=effort.words)
    if array.dtype.kind == "f" and not np.isinf(array).any():
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite and is named below
            array = array.astype(np.float32)
    check_values(array, spec)  # before the cast to a narrower integer, which would wrap
    return array.astype(spec.dtype, copy=False)


def _from_base64(text: str, where: str, inputs: Sequence[InputSpec]) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        if text.startswith("data:"):
            found = "a data URL; leave out all up to its comma"
        elif len(text.split(maxsplit=1)) != 1 or text != text.strip():
            found = "spaces or line breaks"
        elif "-" in text or "_" in text:
            found = "the alphabet for URLs, with - and _ instead of + and /"
        else:
            found = str(error)
        expected = f"standard base64 of {PICTURE_FILE}, in one line: {_example(inputs)}"
        raise BadRequest(f"{where}: not base64", expected=expected, found=found) from error


def _first(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in cast("NDArray[np.intp]", np.argwhere(wrong))[0])


def _keys(document: Mapping[Any, Any]) -> str:
    """The first keys of a JSON object, for messages."""
    return f"an object with the keys {sorted(str(key)[:_SHOWN_KEY] for key in islice(document, _SHOWN_KEYS))}"


def _example(inputs: Sequence[InputSpec]) -> str:
    """A JSON body that this model takes, for messages."""
    parts = {
        spec.name: f'{{"b64": "<base64 of {PICTURE_FILE}>"}}'
        if spec.decoding is not None
        else "[" * len(spec.shape) + ("0, ..." if spec.shape else "0") + "]" * len(spec.shape)
        for spec in inputs
    }
    named = ", ".join(f"{json.dumps(name)}: {part}" for name, part in parts.items())
    return '{"instances": [' + (f"{{{named}}}" if len(parts) > 1 else next(iter(parts.values()))) + "]}"


def _forms(inputs: Sequence[InputSpec]) -> str:
    """What a body may be, for messages."""
    forms = []
    if len(inputs) == 1:
        spec = inputs[0]
        if spec.decoding is not None:
            forms.append(PICTURE_FILE)
        if not spec.dynamic_axes:
            size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
            forms.append(f"application/octet-stream of {size} bytes")
    forms.append('application/json {"instances": [...]}')
    return ", or ".join(forms)
