"""Every key that a recipe may have, with type, unit, default and description, as the models of its sections say."""

from __future__ import annotations

import json
import re
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.recipe.names import FACTORY
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section

# The unit of a number follows from the ending of its key, else from what its description says. A field may also name it
# itself, in `json_schema_extra={"unit": ...}`. Other whole numbers are counts, and other numbers have no unit.
_UNITS_OF_KEYS = {
    "_ms": "milliseconds",
    "_s": "seconds",
    "_minutes": "minutes",
    ".seed": "no unit",
    ".seeds": "no unit",
    ".opset": "no unit",
    ".fill": "grey level",
    ".round_to": "channels",
    ".threads": "threads",
    ".workers": "processes",
}
_UNITS_IN_DESCRIPTIONS = {
    r"in the output's own unit|of the targets of each output": "that of the output",
    r"in pixels|pixels each way|most pixels": "pixels",
    r"\bdegrees\b": "degrees",
    r"^alpha:": "no unit",
    r"\bshare\b|as a fraction|probability": "fraction",
    r"^(passes over|epochs|number of last epochs)": "epochs",
    r"^batches": "batches",
    r"^(\w+ ){0,2}(examples|inputs|pictures)\b": "examples",
    r"multiply-accumulates": "multiply-accumulates",
}
_BOUNDS: tuple[tuple[type[Any], str, str], ...] = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


# What stands in the place of a default where there is none.
_NO_DEFAULTS = ("required", "not set")
_PAGE_HEAD = """# Keys of a recipe

A recipe is a TOML file. These are all keys that it may have. `pipeline recipe` shows the same in a terminal, and
`pipeline recipe train` one section of it; this page is made by `pipeline recipe --markdown` from the models that check
recipes. On the command line a key is set with `--set train.epochs=16`. `[]` stands behind what is a list of tables, in
TOML `[[candidates.variants]]`."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of a recipe.

    Args:
        name: dotted name; `[]` stands behind what is a list of tables.
        type: what its value may be, in words.
        unit: unit of a number; empty for other values.
        default: default as TOML, or `required`, or `not set`.
        description: what it is.
    """

    name: str
    type: str
    unit: str
    default: str
    description: str


@dataclass(frozen=True, kw_only=True)
class KeyGroup:
    """The keys of one table of a recipe.

    Args:
        name: dotted name of the table; empty for the top level.
        title: what the table is, with the kind by which it is told from others in its place.
        keys: its keys, without those of tables inside it.
    """

    name: str
    title: str
    keys: tuple[Key, ...]


def recipe_keys() -> tuple[KeyGroup, ...]:
    """Return all keys, table by table in the order of the models."""
    return tuple(_groups(Recipe, ""))


def _groups(section: type[Section], path: str) -> Iterator[KeyGroup]:
    keys, inner = [], []
    for name, field in section.model_fields.items():
        if field.exclude:
            continue
        place = f"{path}.{name}" if path else name
        tables = list(_tables(field.annotation))
        if tables:
            listed = "[]" if _is_list(field.annotation) else ""
            inner += [(table, place + listed) for table in tables]
        if field.description or not tables:
            keys.append(_key(place, field))
    yield KeyGroup(name=path, title=_title(section), keys=tuple(keys))
    for table, place in inner:
        yield from _groups(table, place)


def _title(section: type[Section]) -> str:
    line = "A recipe." if section is Recipe else (section.__doc__ or "").partition("\n")[0]
    kind = section.model_fields.get("kind")
    return f'{line} (kind = "{kind.default}")' if kind is not None else line


def _key(name: str, field: FieldInfo) -> Key:
    description = re.sub(r"\s+", " ", field.description or "")
    type_name = _type(field.annotation, field.metadata)
    return Key(
        name=name,
        type=type_name,
        unit=_unit(name, field, description),
        default=_default(field),
        description=description,
    )


def _unit(name: str, field: FieldInfo, description: str) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "unit" in extra:
        return str(extra["unit"])
    kinds = set(_numbers(field.annotation))
    if not kinds:
        return ""
    for ending, unit in _UNITS_OF_KEYS.items():
        if name.endswith(ending):
            return unit
    for pattern, unit in _UNITS_IN_DESCRIPTIONS.items():
        if re.search(pattern, description):
            return unit
    return "count" if kinds == {int} else "no unit"


def _numbers(annotation: Any) -> Iterator[type]:
    """The kinds of numbers among the values of a field."""
    if annotation in (int, float):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _numbers(part)


def _default(field: FieldInfo) -> str:
    required, not_set = _NO_DEFAULTS
    if field.default is PydanticUndefined:
        return required
    return not_set if field.default is None else _toml(field.default)


def _toml(value: Any) -> str:
    if isinstance(value, Section):
        return "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a value may be, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *own = parts
        return _type(inner, [*own, *metadata])
    if origin in (Union, types.UnionType):
        kinds = [_type(part, metadata) for part in parts if part is not types.NoneType]
        fixed = all(get_origin(part) is Literal for part in parts if part is not types.NoneType)
        return (" | " if fixed else " or ").join(dict.fromkeys(kinds))
    if origin is Literal:
        return " | ".join(json.dumps(part) for part in parts)
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return f"list of {_type(parts[0])}"
        return f"[{', '.join(map(_type, parts))}]"
    if origin is dict:
        return "table" if parts[1] is Any else f"table of {_type(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "table"
    names = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    kind = _pattern(metadata) or names.get(annotation, "value")
    return f"{kind} {' and '.join(_bounds(metadata))}".rstrip()


def _pattern(metadata: Sequence[Any]) -> str:
    patterns = [getattr(each, "pattern", None) for each in _flat(metadata)]
    return "module:function" if FACTORY in patterns else ""


def _bounds(metadata: Sequence[Any]) -> list[str]:
    """The limits of a number, such as `≥ 1`."""
    return [
        f"{sign} {getattr(each, attribute):,}"
        for kind, attribute, sign in _BOUNDS
        for each in _flat(metadata)
        if isinstance(each, kind)
    ]


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for each in metadata:
        if isinstance(each, FieldInfo):
            yield from each.metadata
        else:
            yield each


def _tables(annotation: Any) -> Iterator[type[Section]]:
    """The tables among the values of a field, inside lists and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _tables(part)


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) is tuple:
        return True
    return any(_is_list(part) for part in get_args(annotation))


def key_lines(groups: Sequence[KeyGroup], *, width: int = 100) -> Iterator[str]:
    """Yield the lines that a terminal shows of some groups.

    Args:
        groups: groups of `recipe_keys`.
        width: largest number of characters of a line.
    """
    for group in groups:
        yield f"[{group.name}]  {group.title}" if group.name else group.title
        for key in group.keys:
            unit = f", {key.unit}" if key.unit else ""
            head = f"  {key.name} = {key.default}  ({key.type}{unit})"
            yield from textwrap.wrap(head, width, subsequent_indent=" " * 6, break_long_words=False)
            yield from textwrap.wrap(key.description, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
        yield ""


def keys_page() -> str:
    """Return the page `docs/recipe.md`."""
    lines = [*_PAGE_HEAD.split("\n")]
    for group in recipe_keys():
        lines += ["", f"## {f'[{group.name}]' if group.name else 'Top level'}", "", _cell(group.title), ""]
        lines += ["| key | type | unit | default | what it is |", "|---|---|---|---|---|"]
        lines += [
            f"| `{key.name}` | {_cell(key.type)} | {key.unit} | {_code(key.default)} | {_cell(key.description)} |"
            for key in group.keys
        ]
    return "\n".join(lines) + "\n"


def _code(default: str) -> str:
    return default if default in _NO_DEFAULTS else f"`{default}`"


def _cell(text: str) -> str:
    """A text in a cell of a table: bars would end the cell, and angle brackets would be taken for a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
