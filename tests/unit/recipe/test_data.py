"""Section `[data]`: one source, and the keys that belong to it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.recipe.data import Data

TABLE = {"table": "t.csv", "targets": ["y"], "columns": {"a": "category", "b": "ignore", "c": ["x", "y"]}}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "expected exactly one of name, factory, folder.*, found none"),
        ({"name": "fashion-mnist", "folder": "p"}, "exactly one of name, factory, folder.*, found name and folder"),
        ({"factory": "mine:load", "size": [8, 8]}, "size: expected only with folder, found with factory"),
        ({"name": "fashion-mnist", "skip_unreadable": True}, "skip_unreadable: expected only with folder"),
        ({"folder": "p", "path": "q"}, "path: expected only with name or factory, found with folder"),
        ({"folder": "p", "arguments": {"a": 1}}, "arguments: expected only with factory, found with folder"),
        ({"folder": "p", "size": [0, 8]}, "size.0.*greater than or equal to 1"),
        ({"table": "t", "targets": ["a"], "split": "a"}, "expected each column once, found twice: a"),
        ({"table": "t", "targets": ["a"], "columns": {"a": "ignore"}}, "expected each column once, found twice: a"),
        ({"table": "t", "targets": ["a"], "columns": {"b": "text"}}, "columns.b"),
        ({"table": "t", "targets": ["a"], "columns": {"b": []}}, "columns.b"),
        ({"table": "t", "targets": ["a"], "size": [8, 8]}, "size: expected only with folder, found with table"),
        ({"name": "fashion-mnist", "missing": True}, "missing: expected only with table, found with name"),
        ({"folder": "p", "test_share": 0.9}, "a sum under 1, found 0.2 and 0.9"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){problem}"):
        Data.model_validate(fields)


@pytest.mark.parametrize("fields", [{"name": "fashion-mnist"}, {"factory": "mine:load"}, {"folder": "pictures"}, TABLE])
def test_what_a_section_says_of_itself_can_be_read_again(fields: dict[str, Any]) -> None:
    data = Data.model_validate(fields)
    assert Data.model_validate(data.model_dump(mode="json")) == data
    assert data.source == next(iter(fields))
