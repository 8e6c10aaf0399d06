"""Types of `handlers` as fields of documents. The fields are written and checked as in `serving.json`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import Tolerance


def _runtime(value: Any) -> RuntimeSpec:
    return value if isinstance(value, RuntimeSpec) else RuntimeSpec.from_json(value)


def _input(value: Any) -> InputSpec:
    return value if isinstance(value, InputSpec) else InputSpec.from_json(value)


def _tolerance(value: Any) -> Tolerance:
    try:
        return value if isinstance(value, Tolerance) else Tolerance(**value)
    except TypeError as error:
        raise ValueError(f"tolerance: {error}") from error


def _to_json(value: RuntimeSpec | InputSpec | Tolerance) -> dict[str, Any]:
    return value.to_json()


_SERIALIZER = PlainSerializer(_to_json, return_type=dict[str, Any])
RuntimeField = Annotated[RuntimeSpec, PlainValidator(_runtime), _SERIALIZER]
InputField = Annotated[InputSpec, PlainValidator(_input), _SERIALIZER]
ToleranceField = Annotated[Tolerance, PlainValidator(_tolerance), _SERIALIZER]
