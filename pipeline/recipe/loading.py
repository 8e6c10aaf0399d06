"""Loads recipes from TOML, by name or path, with overridden settings, and reports all problems at once."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.recipe.names import meant, nearest
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section

DEFAULT_RECIPE = "fashion-cnn"


def builtin_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package, sorted."""
    folder = resources.files("pipeline.recipe") / "builtin"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(recipe: str | Path = DEFAULT_RECIPE, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check all of it.

    Args:
        recipe: a built-in name, or the path of a TOML file.
        overrides: `section.key=value`, where value is TOML or else a plain string.

    Returns:
        The recipe; `name` is the file's stem unless the file says otherwise.

    Raises:
        UsageError: there is no such recipe, or it has problems; all of them are in the message.
    """
    document, stem, folder = _read(recipe)
    texts = dict(_apply(document, override) for override in overrides)
    document.setdefault("name", stem)
    if "folder" in document:
        raise UsageError(f"{recipe}: folder: unknown key; the recipe's folder is where its file lies")
    try:
        try:
            return Recipe.model_validate({**document, "folder": folder})
        except ValidationError as error:
            # `--set package.version=2.0` means the text, though it reads as a number.
            for key in {
                problem["loc"] for problem in error.errors() if problem["type"] == "string_type"
            } & texts.keys():
                _put(document, key, texts[key])
            return Recipe.model_validate({**document, "folder": folder})
    except ValidationError as error:
        raise UsageError(f"recipe {recipe}: {problems_in_words(error)}") from error


def _read(recipe: str | Path) -> tuple[dict[str, Any], str, Path]:
    if str(recipe) in builtin_recipes():
        text = (resources.files("pipeline.recipe") / "builtin" / f"{recipe}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text), str(recipe), Path.cwd()
    path = Path(recipe)
    if path.suffix != ".toml" or not path.is_file():
        names = builtin_recipes()
        raise UsageError(
            f"recipe {recipe}: expected a built-in name ({', '.join(names)}) or a .toml file, found neither"
            f"{meant(str(recipe), names)}"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.stem, path.resolve().parent
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path}: expected TOML, found: {error}") from error


def _apply(document: dict[str, Any], override: str) -> tuple[tuple[int | str, ...], str]:
    """Put an override into the document. Return its key, and its value as it was typed."""
    key, equals, text = override.partition("=")
    parts = tuple(key.strip().split("."))
    if not equals or not all(parts):
        raise UsageError(f"--set {override}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    section = document
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override}: {part} is a value, expected a section")
    section[parts[-1]] = value
    return parts, text


def _put(document: dict[str, Any], key: tuple[int | str, ...], value: str) -> None:
    for part in key[:-1]:
        document = document[str(part)]
    document[str(key[-1])] = value


def problems_in_words(error: ValidationError) -> str:
    """All problems of a recipe, in one line."""
    lines = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        value = problem["input"]
        shown = f", found {value!r}" if not isinstance(value, dict) else ""
        if problem["type"] == "extra_forbidden":
            message, shown = f"unknown key{_near_key(problem['loc'])}", ""
        lines.append(f"{where}: {message}{shown}")
    return "; ".join(lines)


def _near_key(path: tuple[int | str, ...]) -> str:
    """Hint on an unknown key: the key of the same section that is most like it, or all keys there are."""
    *places, key = path
    sections: list[type[Section]] = [Recipe]
    for place in places:
        if isinstance(place, int):  # it is the index of a section in a list
            continue
        inner = [
            _sections(section.model_fields[place].annotation) for section in sections if place in section.model_fields
        ]
        of_kind = [
            section
            for section in sections
            if "kind" in section.model_fields and section.model_fields["kind"].default == place
        ]
        sections = inner[0] if inner else of_kind
    names = [name for section in sections for name in section.model_fields]
    # The kind of a section in a list was read already: it says which section is meant.
    left_out = ("folder", "kind") if any(isinstance(place, int) for place in places) else ("folder",)
    keys = [name for name in dict.fromkeys(names) if name not in left_out]
    if not keys:
        return ""
    near = nearest(str(key), keys)
    return f"; did you mean {'.'.join([*map(str, places), near])}?" if near else f"; expected one of {', '.join(keys)}"


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections among the types of a field, inside lists and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
