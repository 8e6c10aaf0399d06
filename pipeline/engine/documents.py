"""Files that one stage writes and others read. Their fields have names and types, and an unknown field is a problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.engine.manifest import write_atomically
from pipeline.errors import FileError


class Document(BaseModel):
    """A frozen group of values. Where it is a whole file, `title` names that file in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    title: ClassVar[str] = "a document of a build"


D = TypeVar("D", bound=Document)


def read_document(path: Path, kind: type[D]) -> D:
    """Read a file that a stage wrote.

    Args:
        path: path of the file.
        kind: class of the document that the file holds.

    Raises:
        FileError: the file holds something else, or another version wrote it.
    """
    try:
        return kind.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        raise FileError(
            f"{path}: {first_problem(error)}; another version wrote it, or it was altered; run pipeline build again"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: expected {kind.title}, found: {error}; run pipeline build again") from error


def first_problem(error: ValidationError) -> str:
    """Place and text of the first problem of a document; the place is `document` if the problem is not in one field."""
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or 'document'}: {problem['msg']}"


def write_document(path: Path, document: Document) -> None:
    """Write a file in one step; the same values give the same bytes."""
    write_atomically(path, document.model_dump_json(indent=1).encode() + b"\n")
