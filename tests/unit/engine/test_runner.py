"""The runner runs stages again where it must and says why, refuses broken stages, and survives interruptions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from pydantic import BaseModel

from pipeline.engine.artifacts import Kind
from pipeline.engine.manifest import MANIFEST_NAME, read_manifest, write_manifest
from pipeline.engine.runner import Outcome, check_order, hold, plan_stages, run_stages
from pipeline.engine.stage import Inputs, Outputs, Silent, Stage
from pipeline.errors import FileError, StageError
from pipeline.recipe.loading import load_recipe
from pipeline.recipe.recipe import Recipe

Run = Callable[[Any, Inputs, Outputs], None]


class Epochs(BaseModel):
    epochs: int


class Nothing(BaseModel):
    pass


def recipe(epochs: int = 3) -> Recipe:
    return load_recipe("fashion-cnn", [f"train.epochs={epochs}"])


def write_epochs(settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
    outputs.path(Kind.WEIGHTS, "w.txt").write_text(str(settings.epochs))


def write_parity(settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
    """Write the same file for every odd number of epochs."""
    outputs.path(Kind.WEIGHTS, "w.txt").write_text(str(settings.epochs % 2))


def copy_weights(_settings: Nothing, inputs: Inputs, outputs: Outputs) -> None:
    outputs.path(Kind.ARCHIVE, "a.txt").write_text(inputs.one(Kind.WEIGHTS).read_text() + "!")


def first(run: Run = write_epochs, outside: Callable[[Epochs], dict[str, str]] | None = None) -> Stage[Epochs]:
    return Stage(
        name="first",
        reads=(),
        writes=(Kind.WEIGHTS,),
        settings=lambda asked: Epochs(epochs=asked.train.epochs),
        run=run,
        outside=outside or (lambda _settings: {}),
    )


def second(run: Run = copy_weights) -> Stage[Nothing]:
    return Stage(
        name="second", reads=(Kind.WEIGHTS,), writes=(Kind.ARCHIVE,), settings=lambda _asked: Nothing(), run=run
    )


def go(run_dir: Path, *stages: Stage[Any], epochs: int = 3, force: bool = False) -> list[str]:
    _, outcomes = run_stages(stages, recipe(epochs), run_dir, Silent(), force=force)
    return actions(outcomes)


def actions(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [outcome.action for outcome in outcomes]


def test_second_call_runs_nothing(tmp_path: Path) -> None:
    assert go(tmp_path, first(), second()) == ["ran", "ran"]
    assert go(tmp_path, first(), second()) == ["up to date", "up to date"]
    assert (tmp_path / "second" / "a.txt").read_text() == "3!"


def test_where_a_moved_recipe_lies_is_written_though_nothing_runs(tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "recipe.toml").write_text('name = "r"\n[model]\nname = "mlp"\n[data]\nname = "toy"\n')
    for folder, action in (("before", "ran"), ("after", "up to date")):
        moved = load_recipe(tmp_path / folder / "recipe.toml")
        manifest, outcomes = run_stages((first(), second()), moved, tmp_path / "run", Silent())
        assert actions(outcomes) == [action] * 2
        recorded = read_manifest(tmp_path / "run")
        assert recorded == manifest
        assert recorded.folder == str(tmp_path / folder)


def test_settings_that_no_stage_sees_are_written_though_nothing_runs(tmp_path: Path) -> None:
    assert go(tmp_path, first()) == ["ran"]
    other = load_recipe("fashion-cnn", ["train.epochs=3", "report.examples=none"])
    manifest, outcomes = run_stages((first(),), other, tmp_path, Silent())
    assert actions(outcomes) == ["up to date"]
    recorded = read_manifest(tmp_path)
    assert recorded == manifest
    assert recorded.settings["report"] == {"examples": "none"}


def test_changed_setting_runs_what_depends_on_it_and_says_why(tmp_path: Path) -> None:
    go(tmp_path, first(), second())
    plan = plan_stages([first(), second()], recipe(5), tmp_path)
    assert [outcome.reason for outcome in plan] == ["setting epochs changed", "first runs before it"]
    assert go(tmp_path, first(), second(), epochs=5) == ["ran", "ran"]
    assert (tmp_path / "second" / "a.txt").read_text() == "5!"


def test_same_bytes_from_a_rerun_leave_later_stages_alone(tmp_path: Path) -> None:
    go(tmp_path, first(write_parity), second())
    assert go(tmp_path, first(write_parity), second(), epochs=5) == ["ran", "up to date"]


def test_change_outside_the_run_directory_is_noticed(tmp_path: Path) -> None:
    go(tmp_path, first(outside=lambda _settings: {"nets.py": "1"}))
    stage = first(outside=lambda _settings: {"nets.py": "2"})
    assert plan_stages([stage], recipe(), tmp_path)[0].reason == "outside nets.py changed"


def test_a_record_without_a_list_of_files_read_is_not_trusted(tmp_path: Path) -> None:
    go(tmp_path, first())
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    record = manifest.stages["first"].model_copy(update={"reads": None})
    write_manifest(tmp_path, manifest.with_stage("first", record))
    assert plan_stages([first()], recipe(), tmp_path)[0].reason == "not known which files the recipe's code read"
    assert go(tmp_path, first()) == ["ran"]


@pytest.mark.parametrize("damage", ["alter", "remove"])
def test_damaged_file_makes_its_stage_run_again(tmp_path: Path, damage: str) -> None:
    go(tmp_path, first(), second())
    path = tmp_path / "first" / "w.txt"
    if damage == "alter":
        path.write_text("4")
    else:
        path.unlink()
    assert go(tmp_path, first(), second()) == ["ran", "up to date"]
    assert path.read_text() == "3"


def test_force_runs_all(tmp_path: Path) -> None:
    go(tmp_path, first(), second())
    assert go(tmp_path, first(), second(), force=True) == ["ran", "ran"]


def test_plan_changes_nothing(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert actions(plan_stages([first(), second()], recipe(), run_dir)) == ["would run", "would run"]
    assert not run_dir.exists()
    go(run_dir, first(), second())
    plan = plan_stages([first(), second()], recipe(), run_dir, known={"first": "weights are fetched", "second": ""})
    assert [outcome.reason for outcome in plan] == ["weights are fetched", "first runs before it"]


def test_failing_stage_leaves_its_scratch_and_no_half_written_folder(tmp_path: Path) -> None:
    def half(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        (outputs.scratch / "checkpoint").write_text("epoch 1")
        outputs.path(Kind.WEIGHTS, "w.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, first(half))
    assert not (tmp_path / "first").exists()
    assert not list(tmp_path.glob("*.tmp"))
    assert [path.read_text() for path in tmp_path.glob(".scratch/first-*/checkpoint")] == ["epoch 1"]
    assert read_manifest(tmp_path) is None


def test_scratch_is_handed_to_the_next_call_and_removed_when_done(tmp_path: Path) -> None:
    def resume(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        state = outputs.scratch / "state"
        if not state.exists():
            state.write_text("kept")
            raise KeyboardInterrupt
        outputs.path(Kind.WEIGHTS, "w.txt").write_text(state.read_text())

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, first(resume))
    assert go(tmp_path, first(resume)) == ["ran"]
    assert (tmp_path / "first" / "w.txt").read_text() == "kept"
    assert not list(tmp_path.glob(".scratch/*"))


def test_a_stage_may_go_on_with_other_settings_where_it_says_which_do_not_count(tmp_path: Path) -> None:
    def count(settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        state = outputs.scratch / "state"
        before = state.read_text() if state.exists() else ""
        state.write_text(f"{before}{settings.epochs} ")
        outputs.path(Kind.WEIGHTS, "w.txt").write_text(state.read_text())

    def lasting(settings: Epochs) -> Epochs:
        return settings.model_copy(update={"epochs": settings.epochs // 10})

    stage = replace(first(count), lasting=lasting)
    for epochs, written in ((3, "3 "), (5, "3 5 "), (12, "12 "), (5, "5 ")):
        assert go(tmp_path, stage, epochs=epochs) == ["ran"]
        assert (tmp_path / "first" / "w.txt").read_text() == written
        assert len(list(tmp_path.glob(".scratch/*"))) == 1, "another's folder goes"
    assert go(tmp_path, stage, epochs=5) == ["up to date"]
    assert go(tmp_path, stage, epochs=5, force=True) == ["ran"]
    assert (tmp_path / "first" / "w.txt").read_text() == "5 "


def test_a_stage_runs_where_it_is_given_a_file_to_go_on_from(tmp_path: Path) -> None:
    def resume(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        outputs.path(Kind.WEIGHTS, "w.txt").write_text(str(outputs.resume))

    go(tmp_path, first(resume), second())
    assert (tmp_path / "first" / "w.txt").read_text() == "None"
    files = {"first": tmp_path / "mine"}
    manifest, outcomes = run_stages([first(resume), second()], recipe(), tmp_path, Silent(), resume=files)
    assert (actions(outcomes), outcomes[0].reason) == (["ran", "ran"], f"goes on from {tmp_path / 'mine'}")
    assert (tmp_path / "first" / "w.txt").read_text() == str(tmp_path / "mine")
    assert go(tmp_path, first(resume), second()) == ["up to date", "up to date"]
    assert manifest.stages["first"].parts


def test_remains_of_a_killed_build_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".first.99.tmp").mkdir()
    go(tmp_path, first())
    assert not (tmp_path / ".first.99.tmp").exists()


def test_second_build_in_one_directory_is_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(StageError, match="another build is running there"):
        go(tmp_path, first())


def test_a_build_may_wait_for_another_to_leave_the_directory(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".lock", thread_local=False)
    lock.acquire()
    threading.Timer(0.1, lock.release).start()
    with hold(tmp_path, wait_s=30):
        assert not lock.is_locked


def test_undeclared_kind_is_an_error(tmp_path: Path) -> None:
    def stray(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        outputs.path(Kind.ARCHIVE, "a").write_text("a")

    with pytest.raises(StageError, match="wrote archive, which it does not declare"):
        go(tmp_path, first(stray))


def test_undeclared_file_is_an_error(tmp_path: Path) -> None:
    def stray(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        outputs.path(Kind.WEIGHTS, "w").write_text("w")
        (outputs.folder / "other").write_text("o")

    with pytest.raises(StageError, match="left an undeclared file other"):
        go(tmp_path, first(stray))


def test_missing_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="expected it to write weights, found nothing"):
        go(tmp_path, first(lambda _settings, _inputs, _outputs: None))


def test_duplicate_artifact_is_an_error(tmp_path: Path) -> None:
    def twice(_settings: Epochs, _inputs: Inputs, outputs: Outputs) -> None:
        outputs.path(Kind.WEIGHTS, "a").write_text("a")
        outputs.path(Kind.WEIGHTS, "b").write_text("b")

    with pytest.raises(StageError, match="artifact weights written twice"):
        go(tmp_path, first(twice))


def test_undeclared_input_is_an_error(tmp_path: Path) -> None:
    def peek(_settings: Nothing, inputs: Inputs, _outputs: Outputs) -> None:
        inputs.one(Kind.TEST_DATA)

    with pytest.raises(StageError, match="expected an input test-data, found none"):
        go(tmp_path, first(), second(peek))


def test_order_is_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="second reads weights, which no earlier stage writes"):
        go(tmp_path, second(), first())
    assert not list(tmp_path.iterdir())


def test_a_kind_is_written_by_one_stage_only() -> None:
    with pytest.raises(StageError, match="writes weights, which stage first writes already"):
        check_order([first(), first()])


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_number": 99}', '{"schema_number": 1}'])
def test_unreadable_manifest_is_named_and_force_mends_it(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(content)
    with pytest.raises(FileError, match="build with --force or into another --run-dir"):
        go(tmp_path, first())
    assert go(tmp_path, first(), force=True) == ["ran"]


def test_what_a_stage_may_write_it_may_leave_out(tmp_path: Path) -> None:
    def with_samples(settings: Epochs, inputs: Inputs, outputs: Outputs) -> None:
        write_epochs(settings, inputs, outputs)
        if settings.epochs > 3:
            outputs.path(Kind.SAMPLES, "s.txt").write_text("s")

    stage = replace(first(with_samples), may_write=(Kind.SAMPLES,))
    assert go(tmp_path, stage) == ["ran"]
    assert not (tmp_path / "first" / "s.txt").exists()
    assert go(tmp_path, stage, epochs=4) == ["ran"]
    assert (tmp_path / "first" / "s.txt").exists()
    with pytest.raises(StageError, match="stage first: wrote samples, which it does not declare"):
        go(tmp_path, first(with_samples), epochs=5)
