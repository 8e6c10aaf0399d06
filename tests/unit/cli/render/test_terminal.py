"""What a terminal shows while a build goes on, and what a file gets instead."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from pipeline.cli.render.plain_console import plain_console
from pipeline.cli.render.terminal import Standing, Terminal
from pipeline.engine.stage import AsSteps, Reporter, Status, report_stage, report_status
from tests.reporters import Lines

STAGES = ("data", "train", "candidates", "select")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def drawn(standing: Standing, width: int) -> list[str]:
    console = plain_console(width=width, file=io.StringIO())
    with console.capture() as text:
        console.print(standing.draw())
    return [line.rstrip() for line in text.get().splitlines()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> Standing:
    """The middle of a search, 90 seconds after the build began."""
    made = Standing(clock=clock)
    for place, seconds in enumerate((0, 4, 30)):
        clock.seconds = seconds
        made.stage(STAGES, place)
    made.progress("search", 0, 300, "seconds at most, network 1 of at most 12")
    clock.seconds = 80
    made.status("candidate", "slim20.2.onnx.int8-static")
    made.status("best", "slim28.onnx.int8-static, drop +0.13 points")
    made.progress("search", 50, 300, "seconds at most, network 3 of at most 12")
    clock.seconds = 90
    return made


def test_stages_candidate_best_and_time_left_are_shown(standing: Standing) -> None:
    stages, candidate, best, search = drawn(standing, 100)
    assert stages == "data 0:00:04 · train 0:00:26 · candidates 0:01:00 · select"
    assert candidate == "candidate  slim20.2.onnx.int8-static, 0:00:10"
    assert best == "best so far  slim28.onnx.int8-static, drop +0.13 points"
    assert search.startswith("search  ━━╌╌╌╌╌╌╌╌╌╌ 50/300 seconds at most, network 3 of at most 12")
    # 50 s of work took 50 s, so 250 are left, and ten of them have passed since.
    assert search.endswith(" 0:01:00, 0:04:00 left")


def test_no_line_is_wider_than_the_terminal_and_times_stay(standing: Standing) -> None:
    standing.status("step", "candidates: " + "x" * 300)
    lines = drawn(standing, 50)
    assert max(map(len, lines)) <= 50
    assert len(lines) == 6  # only the stages take a second line
    assert any(line.endswith("0:04:00 left") for line in lines)


def test_only_the_last_lines_of_repeated_work_stay(standing: Standing) -> None:
    for number in range(9):
        standing.status("step", f"epoch {number}")
    assert drawn(standing, 100)[-3:] == ["epoch 6", "epoch 7", "epoch 8"]


def test_a_stage_begins_with_nothing_of_the_one_before(standing: Standing) -> None:
    standing.status("step", "candidates: done")
    standing.progress("search", 300, 300, "")
    standing.stage(STAGES, 3)
    assert drawn(standing, 100) == ["data 0:00:04 · train 0:00:26 · candidates 0:01:00 · select 0:00:00"]
    standing.stage(STAGES, 4)
    assert drawn(standing, 100) == ["data 0:00:04 · train 0:00:26 · candidates 0:01:00 · select 0:00:00"]


def test_a_task_that_went_on_from_a_checkpoint_is_reckoned_by_what_was_done_now(clock: Clock) -> None:
    standing = Standing(clock=clock)
    standing.progress("train", 90, 100, "")
    assert "left" not in drawn(standing, 80)[0]
    clock.seconds = 8
    standing.progress("train", 94, 100, "")
    assert drawn(standing, 80)[0].endswith("0:00:08, 0:00:12 left")


def test_names_are_no_markup_and_steer_nothing(clock: Clock) -> None:
    standing = Standing(clock=clock)
    standing.status("candidate", "[red]x\x1b[2J\nforged")
    standing.progress("[b]task", 1, 2, "\x1b]0;title")
    lines = drawn(standing, 100)
    assert lines[0] == r"candidate  [red]x\x1b[2J\nforged, 0:00:00"
    assert "\x1b" not in "".join(lines)


def test_a_file_gets_a_line_for_each_step_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        report_stage(terminal, STAGES, 0)
        report_status(terminal, "candidate", "slim20.2.onnx.int8-static")
        report_status(terminal, "step", "train: epoch 1/2")
        report_status(terminal, "best", "epoch 1")
        terminal.progress("train", 1, 2)
        terminal.log("data: 5 examples")
    assert capsys.readouterr().err == "train: epoch 1/2\ndata: 5 examples\n"


def test_a_reporter_that_shows_no_status_gets_its_steps_as_lines() -> None:
    lines = Lines()
    for status in ("candidate", "best", "step"):
        report_status(lines, status, f"this is the {status}")
    report_stage(lines, STAGES, 0)
    AsSteps(lines).log("answered")
    assert lines.said == ["this is the step", "answered"]


def test_lines_of_a_part_of_a_build_are_steps() -> None:
    class Shown(Lines):
        def stage(self, names: Sequence[str], place: int) -> None:
            self.said.append(names[place])

        def status(self, status: Status, text: str) -> None:
            self.said.append(f"{status}: {text}")

    shown: Reporter = (lines := Shown())
    AsSteps(shown).log("answered")
    assert lines.said == ["step: answered"]
