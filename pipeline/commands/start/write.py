"""Writes a recipe as a short TOML file with comments, and loads it as a build does before it counts as written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.preflight import resolve
from pipeline.engine.manifest import write_atomically
from pipeline.engine.places import os_error_text
from pipeline.errors import FileError, UsageError
from pipeline.recipe.section import NAME

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Column at which comments begin, where a setting leaves room.
_COMMENT = 34
_WIDTH = 100
_COMMENTS = {
    "": "How this network becomes an archive that is proven to be the same model.",
    "model": "all keys that there are: pipeline recipe",
    "model.factory": "your function, which returns the network",
    "model.weights": "without it the network is trained from the start",
    "model.head": "the last layer is made anew, for the classes of your data",
    "model.preprocessing": "inside the exported graph: (x * scale - mean) / std",
    "data.folder": "relative to this file, as all paths here",
    "data.table": "relative to this file, as all paths here",
    "data.factory": "your function, which returns a pipeline.DataSet",
    "data.size": "height and width of the network's input, in pixels",
    "data.classes": "names of the outputs, in the network's own order",
    "data.targets": "what the network learns to give",
    "data.columns": "what the network does not see",
    "data.missing": "cells may be empty",
    "task.tolerance": "how far off an answer may be and still be right",
    "train.epochs": "0 trains nothing",
    "budget.max_accuracy_drop": "what a smaller network may lose; 0.01 is one point",
    "budget.max_confident_flips": "share of answers that float was sure of, and that may change",
}


def recipe_text(document: Mapping[str, Any], *, remarks: Mapping[str, str]) -> str:
    """Write a recipe as TOML.

    Args:
        document: the recipe: its name, and its sections as tables.
        remarks: comments by key, such as `budget.max_accuracy_drop`, beside the usual ones; that of the file has the
            empty key.
    """
    comments = {**_COMMENTS, **remarks}
    lines = [f"# {comments['']}", f"name = {toml_value(document['name'])}"]
    for section, settings in document.items():
        if isinstance(settings, Mapping) and settings:
            lines += ["", *_section(section, settings, comments)]
    return "\n".join(lines) + "\n"


def _section(name: str, settings: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
    yield _with_comment(f"[{name}]", comments.get(name, ""))
    inner = {key: value for key, value in settings.items() if isinstance(value, Mapping) and key == "preprocessing"}
    for key, value in settings.items():
        if key not in inner:
            yield _with_comment(f"{_key(key)} = {toml_value(value)}", comments.get(f"{name}.{key}", ""))
    for key, value in inner.items():
        yield ""
        yield from _section(f"{name}.{key}", value, comments)


def _with_comment(line: str, comment: str) -> str:
    commented = f"{line:<{_COMMENT - 2}}  # {comment}" if comment else line
    return commented if len(commented) <= _WIDTH else f"# {comment}:\n{line}"


def toml_value(value: Any) -> str:
    """Write a value as TOML: a text, a number, a truth value, a list of them, or a table of them in one line.

    Raises:
        UsageError: TOML has no such value.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {toml_value(each)}" for key, each in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case Sequence():
            return f"[{', '.join(map(toml_value, value))}]"
        case _:
            raise UsageError(f"expected a text, a number, a list or a table, found {type(value).__name__}")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)


def recipe_name(folder: Path) -> str:
    """A name for a recipe, after its folder."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_")
    return name if re.fullmatch(NAME, name) else "model"


def write_recipe(document: Mapping[str, Any], path: Path, *, remarks: Mapping[str, str]) -> Path:
    """Write a recipe, and load it again with all checks that a build makes before any work; else nothing is left.

    Args:
        document: the recipe.
        path: file to write, which does not exist.
        remarks: comments by key, as for `recipe_text`.

    Raises:
        UsageError, DataError: a build would refuse it.
        FileError: it cannot be written.
    """
    text = recipe_text(document, remarks=remarks)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise FileError(f"{path}: expected to write the recipe there, found: {os_error_text(error)}") from error
    try:
        resolve(path, fetch=False)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
