"""Requests of several fields: a multipart form, or parameters in the address beside a body."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .bad_request import BadRequest
from .picture_kinds import picture_kind

# TorchServe gives a body that is not a form this field name.
BODY = "body"
# Largest number of bytes around the value of one field of a form: boundary, headers, and an encoded file name of 255
# characters.
_AROUND_FIELD = 1536
_LONGEST_NAME = 40
_MOST_NAMES = 8


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a request.

    Args:
        name: name that the client wrote.
        value: value as received.
        content_type: content type of the field; empty if it has none.
    """

    name: str
    value: Any
    content_type: str

    @property
    def is_picture(self) -> bool:
        """Tell whether the field is declared to be a picture, or begins like one."""
        return self.content_type.lower().startswith("image/") or (
            isinstance(self.value, (bytes, bytearray)) and picture_kind(self.value) is not None
        )


def distinct_names(names: Sequence[str]) -> list[str]:
    """Make the names of fields distinct: repeated names are numbered, `data (1)`, `data (2)`."""
    taken = set(names)
    numbers = {name: itertools.count(1) for name, times in Counter(names).items() if times > 1}
    distinct = []
    for name in names:
        unique = name
        while name in numbers and unique in taken:
            unique = f"{name} ({next(numbers[name])})"
        taken.add(unique)
        distinct.append(unique)
    return distinct


def body_of(fields: Sequence[Field]) -> Field:
    """Choose the field to answer: the only one, the only picture, or a body beside fields that are not pictures.

    Raises:
        BadRequest: there is no field, or it could be any of several.
    """
    pictures = [field for field in fields if field.is_picture]
    bodies = [field for field in fields if field.name == BODY]
    for candidates in (fields, pictures, bodies if not pictures else []):
        if len(candidates) == 1:
            return candidates[0]
    if not fields:
        raise BadRequest("no field in the request", expected="a form of one whole field, or a body", found="none")
    names = ", ".join(_describe_field(field) for field in fields[:_MOST_NAMES])
    more = f", and {len(fields) - _MOST_NAMES} more" if len(fields) > _MOST_NAMES else ""
    raise BadRequest(
        "several fields in one request",
        expected='one field, or one picture among them; several examples go into one JSON body, {"instances": [...]}',
        found=f"the fields {names}{more}",
    )


def require_whole_form(fields: Sequence[Field], length: int) -> None:
    """Refuse a form that is longer than its fields explain: a server drops a field whose end it does not find.

    Args:
        fields: fields that the server handed over.
        length: length of the whole form, in bytes.

    Raises:
        BadRequest: a field was dropped. A field that is shorter than a long file name is not missed.
    """
    explained = sum(len(field.value) + len(field.name.encode()) + _AROUND_FIELD for field in fields)
    if fields and length > explained:
        raise BadRequest(
            "a form with a field that is cut",
            expected="whole fields, and the form's boundary behind the last one",
            found=f"{length} bytes, {sum(len(field.value) for field in fields)} of them in {len(fields)} whole fields",
        )


def require_one_content_type(content_types: Sequence[str]) -> None:
    """Refuse a request that declares two different content types.

    Raises:
        BadRequest: the content types differ; the text names them.
    """
    if len(content_types) < 2:
        return
    media = {content_type.partition(";")[0].strip().lower() for content_type in content_types} - {""}
    if len(media) > 1:
        raise BadRequest("several content types", expected="one content type", found=" and ".join(sorted(media)))


def _describe_field(field: Field) -> str:
    name = field.name if len(field.name) <= _LONGEST_NAME else f"{field.name[:_LONGEST_NAME]}..."
    return f'"{name}" (a picture)' if field.is_picture else f'"{name}"'
