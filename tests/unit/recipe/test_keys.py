"""Every key of a recipe is told, with what it may be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from pipeline.recipe import keys
from pipeline.recipe.keys import key_lines, keys_page, recipe_keys
from pipeline.recipe.loading import load_recipe
from pipeline.recipe.names import FACTORY
from pipeline.recipe.section import Section

PAGE = Path(__file__).parents[3] / "docs" / "recipe.md"


class Inner(Section):
    """What lies inside."""

    rate: float = Field(default=0.5, gt=0, lt=1, description="share of the rest")


class Sample(Section):
    """A sample."""

    count: int = Field(ge=1, description="how many")
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="height and width, in pixels"
    )
    limit_s: float = Field(default=2.0, ge=1, le=30, description="longest wait")
    angle: float = Field(default=0.0, description="turned by", json_schema_extra={"unit": "turns"})
    mode: Literal["fast", "exact", "off"] = Field(default="fast", description="how")
    loss: str | None = Field(default=None, pattern=FACTORY, description="the user's own")
    flag: bool = Field(default=False, description="whether | it is <so>")
    weights: dict[str, float] = Field(default={}, description="by name")
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = Field(default=(), description="a list")
    other: Inner = Field(default=Inner(), description="a table")


def test_types_units_and_defaults_are_those_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "Recipe", Sample)
    top, inner, parts, _ = recipe_keys()
    assert [(key.name, key.type, key.unit, key.default) for key in top.keys] == [
        ("count", "whole number ≥ 1", "count", "required"),
        ("size", "[whole number ≥ 1, whole number ≥ 1]", "pixels", "not set"),
        ("limit_s", "number ≥ 1 and ≤ 30", "seconds", "2.0"),
        ("angle", "number", "turns", "0.0"),
        ("mode", '"fast" | "exact" | "off"', "", '"fast"'),
        ("loss", "module:function", "", "not set"),
        ("flag", "true | false", "", "false"),
        ("weights", "table of number", "no unit", "{}"),
        ("parts", "list of table", "", "[]"),
        ("other", "table", "", "{}"),
    ]
    assert (inner.name, inner.title, parts.name) == ("inner", "What lies inside.", "parts[]")
    assert [key.name for key in (*inner.keys, *parts.keys)] == ["inner.rate", "parts[].rate"]
    assert inner.keys[0].unit == "fraction"
    assert "whether \\| it is &lt;so&gt;" in keys_page()
    assert "  limit_s = 2.0  (number ≥ 1 and ≤ 30, seconds)\n      longest wait" in "\n".join(key_lines((top,)))


def test_every_key_is_described_and_every_number_has_a_unit() -> None:
    entries = [key for group in recipe_keys() for key in group.keys]
    assert len(entries) > 100
    assert [key.name for key in entries if not key.description and not key.name.endswith(".kind")] == []
    numbers = [key for key in entries if "number" in re.sub(r'"[^"]*"', "", key.type)]
    assert [key.name for key in numbers if not key.unit] == []


def test_no_key_of_a_recipe_is_left_out() -> None:
    recipe = load_recipe("fashion-cnn").model_dump(exclude={"folder"})
    entries = {key.name for group in recipe_keys() for key in group.keys}
    names = {name for name, value in recipe.items() if not isinstance(value, dict)}
    names |= {f"{section}.{name}" for section, value in recipe.items() if isinstance(value, dict) for name in value}
    assert names - entries == set()


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == keys_page(), "make it again: pipeline recipe --markdown > docs/recipe.md"
