"""The form of a JSON body, `{"instances": [...]}`; its answer is `{"predictions": [...]}`.

It is also the first version of KServe's protocol (`kserve/website`: docs/concepts/architecture/data-plane/
v1-protocol.md), whose bodies may have the key `inputs` with the same meaning. That key belongs to another form, so a
server says by the media type `V1_MEDIA` that a body is meant like that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .answer_size import Extras, most_instances
from .bad_request import BadRequest
from .columns import row_example, row_values
from .decode import InputSpec, decode_image
from .domain import check_values
from .effort import Effort
from .instance_parser import Instances
from .json_text import SMALL_JSON_BYTES, json_text, object_keys, refused_unless_json, strict_decoder
from .nested_lists import input_array
from .picture_text import picture_of_text
from .request import MAX_INSTANCES, Request
from .sizes import require_sizes

if TYPE_CHECKING:
    from .description import Serving

# Media type that a server declares for a body that came to an address of KServe's protocol in its first version.
V1_MEDIA = "application/vnd.kserve-v1+json"
_KEY, _OTHER_KEY = "instances", "inputs"
_BEGINS_WITH_OTHER_KEY = re.compile(rf'[ \t\n\r]*\{{[ \t\n\r]*"{_OTHER_KEY}"')


class JsonInstances:
    """A list of instances; a model with any inputs takes it."""

    keys = frozenset({_KEY})

    def accepted(self, inputs: Sequence[InputSpec]) -> str:  # noqa: ARG002 - every model takes it
        """Describe an object of one key."""
        return f'application/json {{"{_KEY}": [...]}}'

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode each instance of the list; the instances of a large body are parsed one after the other."""
        example = _example(inputs)
        with refused_unless_json(example):
            text = json_text(body, inputs, example)
        key = _OTHER_KEY if media == V1_MEDIA and _BEGINS_WITH_OTHER_KEY.match(text) else _KEY
        effort = replace(effort, words="true" in text or "false" in text)
        decoder = strict_decoder(inputs)
        sizes = [spec.shape[1] * spec.shape[2] for spec in inputs if spec.decoding is not None]
        if sizes:  # pictures are counted before the first of them is decoded
            effort.pixels.require(text.count('"b64"'), min(sizes))
        if len(body) <= SMALL_JSON_BYTES:
            with refused_unless_json(example):
                document = decoder.decode(text)
            return _from_document(document, key, inputs, effort)
        instances = Instances(text, key, inputs, decoder, example)
        return _from_instances(_read(instances, example), inputs, effort)

    def decode_document(self, document: object, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode each instance of the list."""
        return _from_document(document, _KEY, inputs, effort)

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
        """Count the instances whose answers fit into the list."""
        return most_instances(serving, longest, extras)

    def join(self, answers: Sequence[str]) -> bytes:
        """Write the list of answers, in the order of the instances."""
        return f'{{"predictions":[{",".join(answers)}]}}'.encode()


def _from_document(document: object, key: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
    if not isinstance(document, Mapping) or set(document) != {key}:
        content = object_keys(document) if isinstance(document, Mapping) else type(document).__name__
        raise BadRequest("JSON of the wrong form", expected=_example(inputs), found=content)
    instances = document[key]
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        raise _wrong_number(
            f"{len(instances)} of them" if isinstance(instances, list) else type(instances).__name__, inputs
        )
    return _from_instances(instances, inputs, effort)


def _read(instances: Iterable[Any], example: str) -> Iterator[Any]:
    with refused_unless_json(example):
        yield from instances


def _from_instances(instances: Iterable[Any], inputs: Sequence[InputSpec], effort: Effort) -> Request:
    decoded: list[dict[str, NDArray[Any]]] = []
    for index, instance in enumerate(instances):
        effort.check(index)
        if index == MAX_INSTANCES:
            raise _wrong_number("more", inputs)
        decoded.append(_instance(instance, index, inputs, effort))
    if not decoded:
        raise _wrong_number("0 of them", inputs)
    return Request(instances=tuple(decoded), form="instances", listed=True)


def _wrong_number(content: str, inputs: Sequence[InputSpec]) -> BadRequest:
    return BadRequest(
        "instances of the wrong number",
        expected=f"a list of 1 to {MAX_INSTANCES}, {_example(inputs)}",
        found=content,
    )


def _instance(instance: Any, index: int, inputs: Sequence[InputSpec], effort: Effort) -> dict[str, NDArray[Any]]:
    names = [spec.name for spec in inputs]
    if len(inputs) == 1 and inputs[0].columns:
        return {names[0]: _row(instance, index, inputs[0], inputs)}
    if isinstance(instance, dict) and set(instance) == set(names):
        values = instance
    elif len(inputs) == 1 and (not isinstance(instance, dict) or set(instance) == {"b64"}):
        values = {names[0]: instance}
    else:
        content = object_keys(instance) if isinstance(instance, dict) else type(instance).__name__
        raise BadRequest(f"instance {index}: wrong inputs", expected=_example(inputs), found=content)
    arrays = {spec.name: _value(values[spec.name], index, spec, inputs, effort) for spec in inputs}
    require_sizes({name: array.shape for name, array in arrays.items()}, inputs, where=f"instance {index}, ")
    return arrays


def _row(instance: Any, index: int, spec: InputSpec, inputs: Sequence[InputSpec]) -> NDArray[Any]:
    """Decode one row of a table: values by column, or in a list; either may stand under the name of the input."""
    if isinstance(instance, dict) and set(instance) == {spec.name} and isinstance(instance[spec.name], (dict, list)):
        instance = instance[spec.name]
    if not isinstance(instance, (dict, list)):
        raise BadRequest(f"instance {index}: wrong inputs", expected=_example(inputs), found=type(instance).__name__)
    values = row_values(instance, f"instance {index}", spec.columns)
    with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite, and the check names it
        row = np.array(values, dtype=np.float32)
    check_values(row, spec)
    return row


def _value(value: Any, index: int, spec: InputSpec, inputs: Sequence[InputSpec], effort: Effort) -> NDArray[Any]:
    where = f"instance {index}, input {spec.name}"
    if spec.columns:
        return _row(value, index, spec, inputs)
    if isinstance(value, dict):
        if spec.decoding is None or set(value) != {"b64"} or not isinstance(value["b64"], str):
            form = "nested lists, or " if spec.decoding else "nested lists: "
            raise BadRequest(f"{where}: wrong form", expected=form + _example(inputs), found=object_keys(value))
        return decode_image(picture_of_text(value["b64"], where, _example(inputs)), spec, effort.pixels)
    if isinstance(value, str) and spec.decoding is not None:
        raise BadRequest(f"{where}: wrong form", expected=_example(inputs), found=f"text, {value[:16]!r}...")
    return input_array(value, where, spec, words=effort.words)


def _example(inputs: Sequence[InputSpec]) -> str:
    """Write a JSON body that this model takes, for messages."""
    parts = {
        spec.name: '{"b64": "<base64 of a picture file>"}'
        if spec.decoding is not None
        else row_example(spec.columns)
        if spec.columns
        else "[" * len(spec.shape) + ("0, ..." if spec.shape else "0") + "]" * len(spec.shape)
        for spec in inputs
    }
    named = ", ".join(f"{json.dumps(name)}: {part}" for name, part in parts.items())
    return f'{{"{_KEY}": [' + (f"{{{named}}}" if len(parts) > 1 else next(iter(parts.values()))) + "]}"
