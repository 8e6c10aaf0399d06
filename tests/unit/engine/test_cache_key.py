"""The record of a stage is compared with the inputs that are there now."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engine.artifacts import Artifact, Kind
from pipeline.engine.cache_key import PartKind, input_parts, outdated, setting_parts, stale_parts
from pipeline.engine.manifest import Manifest, StageRecord
from pipeline.engine.stage import Inputs, Outputs, Stage
from pipeline.errors import StageError
from pipeline.recipe.section import Section


class Inner(Section):
    size: int = 3


class Settings(Section):
    inner: Inner = Inner()
    names: tuple[str, ...] = ("a",)


def run(_settings: Settings, _inputs: Inputs, _outputs: Outputs) -> None:
    """Write nothing."""


STAGE = Stage(name="second", reads=(Kind.WEIGHTS,), writes=(), settings=lambda _recipe: Settings(), run=run)


def manifest(digest: str, *, parts: dict[str, str] | None) -> Manifest:
    """A manifest of a first stage that left weights, and of a second stage that may have read others."""
    weights = Artifact(kind=Kind.WEIGHTS, path="first/weights", sha256=digest, size=1)
    stages = {"first": StageRecord(key="", parts={}, artifacts=(weights,), seconds=0)}
    if parts is not None:
        stages["second"] = StageRecord(key="", parts=parts, artifacts=(), seconds=0)
    return Manifest(recipe="digits", environment={}, stages=stages)


def test_settings_have_dotted_names() -> None:
    assert setting_parts(Settings()) == {"setting inner.size": "3", "setting names": '["a"]'}
    with pytest.raises(StageError, match="settings of type PosixPath: expected a pydantic model"):
        setting_parts(Path())


def test_only_the_kinds_in_question_are_compared_in_both_directions() -> None:
    record = StageRecord(
        key="", parts={"setting a": "1", "setting gone": "1", "input x": "0", "source s": "1"}, artifacts=(), seconds=0
    )
    current = {"setting a": "2", "setting new": "1", "input x": "0"}
    assert stale_parts(record, current, kinds=("setting", "input")) == ["setting a", "setting gone", "setting new"]
    inputs: tuple[PartKind, ...] = ("input",)
    assert stale_parts(record, {"input x": "0"}, kinds=inputs) == []


def test_a_stage_is_outdated_without_a_record_or_with_one_of_other_inputs() -> None:
    parts = {"input first/weights": "0" * 64, "setting inner.size": "9"}
    assert input_parts(STAGE, manifest("0" * 64, parts=None)) == {"input first/weights": "0" * 64}
    assert outdated([STAGE], manifest("0" * 64, parts=parts)) == []
    assert outdated([STAGE], manifest("1" * 64, parts=parts)) == ["second"]
    assert outdated([STAGE], manifest("0" * 64, parts=None)) == ["second"]
