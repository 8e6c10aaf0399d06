"""The base class of every group of settings, and the pattern of names."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

# Pattern of every name. Names become file names and parts of URLs; TorchServe loads none with two dots in a row.
# The pattern is the same as in `handlers.description_checks`, which reads what others wrote.
NAME = r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*$"
LONGEST_NAME = 100


class Section(BaseModel):
    """A frozen group of settings; an unknown key is a problem.

    Settings that `LATER` names came after archives were made without them. They are written only where they differ from
    their default, so that a recipe that does not use them keeps its cache keys and the bytes of its evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    LATER: ClassVar[frozenset[str]] = frozenset()

    def model_post_init(self, _context: Any) -> None:
        """Count the kind of a section as given: what else is given can be read by it alone."""
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")

    def given(self) -> dict[str, Any]:
        """Return what was given, as JSON values; made of that, a section knows what was left out, as this one does."""
        return self.model_dump(mode="json", exclude_unset=True)

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        left_out = {name for name in self.LATER if getattr(self, name) == fields[name].default}
        return {name: value for name, value in written.items() if name not in left_out}
