"""Types of `handlers` as fields of documents. The fields are written and checked as in `serving.json`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.tolerance import Tolerance


def _runtime(value: Any) -> RuntimeSpec:
    return value if isinstance(value, RuntimeSpec) else RuntimeSpec.from_json(value)


def _input(value: Any) -> InputSpec:
    return value if isinstance(value, InputSpec) else InputSpec.from_json(value)


def _output(value: Any) -> OutputSpec:
    return value if isinstance(value, OutputSpec) else OutputSpec.from_json(value)


def _tolerance(value: Any) -> Tolerance:
    try:
        return value if isinstance(value, Tolerance) else Tolerance.from_json(value)
    except TypeError as error:
        raise ValueError(f"tolerance: {error}") from error


def _to_json(value: RuntimeSpec | InputSpec | OutputSpec | Tolerance) -> dict[str, Any]:
    return value.to_json()


_SERIALIZER = PlainSerializer(_to_json, return_type=dict[str, Any])
RuntimeField = Annotated[RuntimeSpec, PlainValidator(_runtime), _SERIALIZER]
InputField = Annotated[InputSpec, PlainValidator(_input), _SERIALIZER]
OutputField = Annotated[OutputSpec, PlainValidator(_output), _SERIALIZER]
ToleranceField = Annotated[Tolerance, PlainValidator(_tolerance), _SERIALIZER]
