"""What the JSON of an inference request of the Open Inference Protocol says, its structure checked.

The rules are those of `kserve/open-inference-protocol` (specification/protocol/inference_rest.md) and, for binary data,
of `triton-inference-server/server` (docs/protocol/extension_binary_data.md). Where these leave it to the server what to
do with a parameter that it does not know, it is refused: an answer that ignores a wish looks like one that grants it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .bad_request import BadRequest
from .datatypes import DATATYPES, datatype_of
from .decode import InputSpec
from .description_checks import MOST_SIZE
from .json_text import object_keys
from .request import MAX_INSTANCES, TensorWishes
from .sizes import fits_shape, require_sizes

# Longest identifier of a request, in characters. It comes back in the answer.
MAX_ID = 256
_KEYS = ("id", "model_name", "parameters", "inputs", "outputs")
_INPUT_KEYS = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT_KEYS = ("name", "parameters")
_CODED = "; of a category its position, for texts are taken in instances only"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input of a request.

    Args:
        spec: the model's input.
        shape: shape as declared, which fits the input; the first axis is the examples.
        pictures: whether the elements are picture files, not values.
        data: value of `data` in the JSON; None where the values are binary data.
        binary_size: number of bytes of its binary data; None where the values are in the JSON.
    """

    spec: InputSpec
    shape: tuple[int, ...]
    pictures: bool
    data: Any
    binary_size: int | None

    @property
    def count(self) -> int:
        """Return the number of examples."""
        return self.shape[0]


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """The JSON of a request.

    Args:
        tensors: the model's inputs, in the order in which the request has them; all have the same number of examples.
        wishes: what the request says of its answer.
    """

    tensors: tuple[Tensor, ...]
    wishes: TensorWishes


def read_request(document: object, inputs: Sequence[InputSpec], tensors: Sequence[str] | None) -> InferRequest:
    """Check the structure of a request; its values are not looked at.

    Args:
        document: the parsed JSON.
        inputs: the model's inputs.
        tensors: names of the model's tensors; None where they are not known, and any name is taken.

    Raises:
        BadRequest: a key, a name, a datatype, a shape or a wish is wrong; the text names it.
    """
    body = _require_object(document, inputs)
    return InferRequest(tensors=_tensors(body["inputs"], inputs), wishes=_wishes(body, tensors))


def _require_object(document: object, inputs: Sequence[InputSpec]) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise BadRequest("JSON of the wrong form", expected=request_example(inputs), found=_in_words(document))
    if "inputs" not in document:
        raise BadRequest("JSON of the wrong form", expected=request_example(inputs), found=object_keys(document))
    _require_keys(document, _KEYS, "the request")
    if not isinstance(document.get("model_name", ""), str):
        raise BadRequest("wrong model_name", expected="text", found=_in_words(document["model_name"]))
    return document


def _tensors(entries: Any, inputs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    """Read the inputs of a request; none is missing, unknown or twice there."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        others = [entry for entry in entries if not isinstance(entry, Mapping)] if isinstance(entries, list) else []
        raise BadRequest(
            "wrong inputs",
            expected=f"{request_example(inputs)}; a list of examples stands under the key instances",
            found=f"a list with {_in_words(others[0])} in it" if others else _in_words(entries),
        )
    specs = {spec.name: spec for spec in inputs}
    names = [entry.get("name") for entry in entries]
    if len(names) != len(specs) or not all(isinstance(name, str) for name in names) or set(names) != set(specs):
        found = ", ".join(_in_words(name) for name in names[:8])
        more = ", ..." if len(names) > 8 else ""
        raise BadRequest(
            "wrong inputs", expected=f"{', '.join(specs)}, each once", found=f"{found}{more}" if names else "none"
        )
    tensors = tuple(_tensor(entry, specs[entry["name"]]) for entry in entries)
    for tensor in tensors[1:]:
        if tensor.count != tensors[0].count:
            raise BadRequest(
                f"input {tensor.spec.name}: another number of examples than input {tensors[0].spec.name}",
                expected=str(tensors[0].count),
                found=str(tensor.count),
            )
    shapes = {tensor.spec.name: tensor.spec.shape if tensor.pictures else tensor.shape[1:] for tensor in tensors}
    require_sizes(shapes, inputs)
    return tensors


def _wishes(document: Mapping[str, Any], tensors: Sequence[str] | None) -> TensorWishes:
    """Read what a request says of its answer, which has no other tensors than the model."""
    identifier = document.get("id")
    if identifier is not None and (not isinstance(identifier, str) or len(identifier) > MAX_ID):
        raise BadRequest("wrong id", expected=f"text of at most {MAX_ID} characters", found=_in_words(identifier))
    binary = _flag(document, "binary_data_output", "the request")
    entries = document.get("outputs") or []
    if not isinstance(entries, list):
        raise BadRequest("wrong outputs", expected='a list of {"name": ...}', found=_in_words(entries))
    outputs: dict[str, bool] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise BadRequest("wrong outputs", expected='a list of {"name": ...}', found=_in_words(entry))
        name = entry["name"]
        _require_keys(entry, _OUTPUT_KEYS, f"output {_shown(name)}")
        if name in outputs or (tensors is not None and name not in tensors):
            raise BadRequest(
                "wrong outputs",
                expected=f"some of {', '.join(tensors or [])}, each once",
                found=f"{_shown(name)}{' twice' * (name in outputs)}",
            )
        if isinstance(entry.get("parameters"), Mapping) and "classification" in entry["parameters"]:
            raise BadRequest(
                f"output {_shown(name)}: parameter classification, which is not taken",
                expected=f"an output without it; the outputs are {', '.join(tensors or [])}",
                found="classification",
            )
        outputs[name] = _flag(entry, "binary_data", f"output {_shown(name)}", otherwise=binary)
    return TensorWishes(id=identifier, outputs=outputs, binary=binary)


def request_example(inputs: Sequence[InputSpec]) -> str:
    """Write a body that this model takes, for messages."""
    entries = (
        f'{{"name": {json.dumps(spec.name)}, "shape": {json.dumps([1, *spec.shape])}, '
        f'"datatype": "{datatype_of(spec.dtype)}", "data": [...]}}'
        for spec in inputs
    )
    return f'{{"inputs": [{", ".join(entries)}]}}'


def _tensor(entry: Mapping[str, Any], spec: InputSpec) -> Tensor:
    where = f"input {spec.name}"
    _require_keys(entry, _INPUT_KEYS, where)
    expected = datatype_of(spec.dtype)
    datatype = entry.get("datatype")
    pictures = datatype == "BYTES" and spec.decoding is not None
    if datatype != expected and not pictures:
        more = " or, for picture files, BYTES" if spec.decoding is not None else _CODED if spec.columns else ""
        raise BadRequest(
            f"{where}: wrong datatype",
            expected=expected + more,
            found=_in_words(datatype) if datatype is not None else "none",
        )
    shape = _shape(entry.get("shape"), spec, where, pictures=pictures)
    size = _parameters(entry, "binary_data_size", where)
    data = entry.get("data")
    if (size is None) == (data is None):
        raise BadRequest(
            f"{where}: wrong values",
            expected="either data in the JSON, or the parameter binary_data_size",
            found="neither" if data is None else "both",
        )
    if size is not None:
        _require_binary_size(size, shape, spec, where, pictures=pictures)
    return Tensor(spec=spec, shape=shape, pictures=pictures, data=data, binary_size=size)


def _shape(shape: Any, spec: InputSpec, where: str, *, pictures: bool) -> tuple[int, ...]:
    """Return a shape that fits the input, of one example or more."""
    sizes = shape if isinstance(shape, list) else []
    whole = bool(sizes) and all(type(size) is int and 0 <= size <= MOST_SIZE for size in sizes)
    rest = tuple(sizes[1:])
    if not whole or not (rest in ((), (1,)) if pictures else fits_shape(rest, spec)):
        free = [-1 if axis in spec.dynamic_axes else size for axis, size in enumerate(spec.shape)]
        raise BadRequest(
            f"{where}: wrong shape",
            expected="[-1] or [-1, 1]" if pictures else json.dumps([-1, *free]),
            found=_in_words(shape) if shape is not None else "none",
        )
    if not 1 <= sizes[0] <= MAX_INSTANCES:
        raise BadRequest(
            f"{where}: examples of the wrong number",
            expected=f"1 to {MAX_INSTANCES} on the first axis of its shape",
            found=str(sizes[0]),
        )
    return tuple(sizes)


def _require_binary_size(size: Any, shape: tuple[int, ...], spec: InputSpec, where: str, *, pictures: bool) -> None:
    facts = DATATYPES[datatype_of(spec.dtype)]
    bytes_needed = math.prod(shape) * facts.dtype.itemsize
    whole = type(size) is int and size >= 0
    if not whole or (not pictures and size != bytes_needed):
        needed = f"{bytes_needed} bytes ({datatype_of(spec.dtype)} of shape {list(shape)})"
        raise BadRequest(
            f"{where}: wrong binary_data_size",
            expected="a number of bytes" if pictures else needed,
            found=_in_words(size),
        )


def _flag(entry: Mapping[str, Any], name: str, where: str, *, otherwise: bool = False) -> bool:
    value = _parameters(entry, name, where)
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise BadRequest(f"{where}: wrong parameter {name}", expected="true or false", found=_in_words(value))
    return value


def _parameters(entry: Mapping[str, Any], name: str, where: str) -> Any:
    """Return the only parameter that is taken here; None where it is not there."""
    parameters = entry.get("parameters")
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        raise BadRequest(f"{where}: wrong parameters", expected="an object", found=_in_words(parameters))
    other = next((key for key in parameters if key != name), None)
    if other is not None:
        raise BadRequest(f"{where}: parameter that is not taken", expected=f"{name} at most", found=_shown(str(other)))
    return parameters.get(name)


def _require_keys(entry: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    other = next((key for key in entry if key not in keys), None)
    if other is not None:
        raise BadRequest(f"{where}: unknown key", expected=", ".join(keys), found=_shown(str(other)))


def _shown(text: str) -> str:
    return json.dumps(text[:80])


def _in_words(value: Any) -> str:
    """Write a short value as JSON has it; of a long one say what it is."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            return json.dumps(value)[:80]
        case str():
            return _shown(value)
        case list() if all(type(size) in (int, float) for size in value[:8]):
            return f"{json.dumps(value[:8])[:160]}{' and more' * (len(value) > 8)}"
        case list():
            return "a list"
        case _:
            return "an object"
