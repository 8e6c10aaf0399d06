"""What somebody wrote into a document: figures that are read have names and types, and all others stay as they are.

An archive of an earlier release may lack a figure of today or hold one that is gone. Its evidence is told as it is.
A group that forbids unknown names keeps only its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Recorded(BaseModel):
    """A frozen group of recorded values, written again in the order in which they were read."""

    model_config = ConfigDict(frozen=True, extra="allow")

    _order: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, value: Any, handler: ModelWrapValidatorHandler[Recorded]) -> Recorded:
        recorded = handler(value)
        if isinstance(value, Mapping):
            recorded._order = tuple(value)  # noqa: SLF001  its own class, where pydantic calls it
        return recorded

    @model_serializer(mode="wrap")
    def _write_in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {name: values[name] for name in dict.fromkeys([*self._order, *values])}
