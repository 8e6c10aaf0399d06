"""Draws the end of a build for somebody at a terminal: the winner, what it gains and loses, and what came next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from rich.table import Table
from rich.text import Text

from pipeline.cli.render.console import class_note, draw_result
from pipeline.cli.render.plain_console import show
from pipeline.measure.gain import MINIMUM_GAIN, times
from pipeline.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from pipeline.candidates.speed import SpeedUp
    from pipeline.commands.build_result import BuildResult, Row
    from pipeline.data.dataset import SplitName
    from pipeline.measure.gain import Ratio
    from pipeline.tasks.quality import QualityReport

# What it may take of a terminal: so many lines of so many columns. In a narrower one the same words take more lines.
LINES, COLUMNS = 25, 100
# Number of candidates that are told beside the winner.
_ALTERNATIVES = 3


def print_result(result: BuildResult, *, tables: bool = False) -> None:
    """Print the end of a build: short for somebody at a terminal, else with all its tables.

    Args:
        result: result of a build.
        tables: whether the tables were asked for.
    """
    short = sys.stdout.isatty() and not tables
    show(lambda console: draw_summary(console, result) if short else draw_result(console, result))


def draw_summary(console: Console, result: BuildResult) -> None:
    """Draw the winner and the next best. Remarks for which there is no room are left to the tables."""
    remarks = [(label, visible(text)) for label, text in _remarks(result)]
    room = LINES * max(1.0, COLUMNS / console.width)
    left = len(remarks)
    while left and _height(console, _parts(result, remarks[:left])) > room:
        left -= 1
    for part in _parts(result, remarks[:left]):
        console.print(part)


def _height(console: Console, parts: list[RenderableType]) -> int:
    return sum(len(console.render_lines(part, pad=False)) for part in parts)


def _parts(result: BuildResult, remarks: list[tuple[str, str]]) -> list[RenderableType]:
    winner = next(row for row in result.candidates if row.selected)
    about = _grid()
    about.add_row("selected", Text(visible(winner.report.name), style="bold green"))
    for label, text in (*_gains(winner, result), *_losses(winner, result), ("why", result.why)):
        about.add_row(label, visible(text))
    about.add_row()
    others = _grid("bold", "right")
    reasons = result.reasons()
    for row in _alternatives(result):
        reason = reasons[row.report.name]
        others.add_row("  " + visible(row.report.name), f"{times(_factor(row, result))}x", visible(reason))
    places = _grid()
    for label, text in (*remarks, *_places(result)):
        places.add_row(label, visible(text))
    parts: list[RenderableType] = [about]
    if others.row_count:
        parts += [Text(f"the next best by {result.goal}, over float, and why not"), others]
    rest = len(result.candidates) + len(result.unproven) - 1 - others.row_count
    told = f"  {rest:,} more" if others.row_count else f"{rest:,} others"
    unproven = f", {len(result.unproven):,} of them not proven" if result.unproven else ""
    if rest:
        parts.append(Text(f"{told}{unproven}: pipeline report {visible(str(result.run_dir))} --tables", style="dim"))
    return [*parts, Text(""), places]


def _grid(*styles: str) -> Table:
    """A table without lines, whose last column alone is wrapped."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=None if styles else "dim", overflow="fold")
    if styles:
        grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    return grid


def _gains(winner: Row, result: BuildResult) -> Iterator[tuple[str, str]]:
    """Yield what the winner gains over float, and over eager torch."""
    smallest, largest = _speeds(winner)
    baseline = next(row.report for row in result.candidates if row.report.name == result.baseline)
    if winner.report.name == result.baseline:
        yield "gains", "nothing over float: it is the float network"
    else:
        took, of_float = (timing.timing(smallest.batch_size).median_ms for timing in (winner.report, baseline))
        more = "" if largest is smallest else f", {_speed(largest.over_float)} at {largest.batch_size}"
        at = f"at batch {smallest.batch_size} ({took:.3f} ms, float {of_float:.3f})"
        yield "gains", f"{_speed(smallest.over_float)} float's speed {at}{more}"
        yield "", f"{_size(baseline.size / winner.report.size)}: {_kb(winner.report.size)}, float {_kb(baseline.size)}"
    eager = f"{_speed(smallest.over_eager)} the speed of eager torch at batch {smallest.batch_size}"
    yield "", eager if largest is smallest else f"{eager}, {_speed(largest.over_eager)} at {largest.batch_size}"


def _speeds(row: Row) -> tuple[SpeedUp, SpeedUp]:
    """The speed-ups of a candidate at the smallest batch and at the largest."""
    by_size = sorted(row.speed, key=lambda speed: speed.batch_size)
    return by_size[0], by_size[-1]


def _speed(ratio: Ratio) -> str:
    """Write a ratio, and that it may be chance where it may."""
    match ratio.claim():
        case "faster" | "slower":
            return f"{times(ratio.value)}x"
        case "none":
            return f"{times(ratio.value)}x (no certain difference)"
        case other:
            assert_never(other)


def _size(ratio: float) -> str:
    if abs(ratio - 1) < MINIMUM_GAIN:
        return "of the same size"
    return f"{ratio:.1f}x smaller" if ratio > 1 else f"{1 / ratio:.1f}x larger"


def _kb(size: int) -> str:
    return f"{size / 1000:,.0f} kB"


def _losses(winner: Row, result: BuildResult) -> Iterator[tuple[str, str]]:
    """Yield what the winner loses against float, on validation and on test."""
    report, budget = winner.report, f"{result.limits.max_accuracy_drop * 100:.2f} allowed"
    if not report.lossy:
        closeness = f"{report.parity.nearest:.1e} of {report.parity.limit:.0e} allowed"
        yield "loses", f"nothing: lossless; its answers are those of its source within {closeness}"
        yield "", f"{result.metric} {result.test.accuracy:.4f} on the {result.test.examples:,} examples of test"
        return
    verdict = result.test_verdict
    judged = "confirmed" if verdict.allowed else f"NOT CONFIRMED, {verdict.text}"
    yield "loses", f"{_loss(report.quality, 'validation', winner.verdict.adjusted_drop_upper, result)}; {budget}"
    yield "", f"{judged}: {_loss(result.test, 'test', verdict.adjusted_drop_upper, result)}"


def _loss(quality: QualityReport, split: SplitName, upper: float, result: BuildResult) -> str:
    """Write a drop with its bound, and both scores where there are labels."""
    scores = f"{quality.accuracy:.4f}{f', float {quality.float_accuracy:.4f}' if result.labelled else ''}"
    won, lost = (" more", " lost") if quality.drop < 0 else ("", "")
    return (
        f"{abs(quality.drop) * 100:.2f} points of {quality.metric}{won} on {split} ({scores}), at most "
        f"{upper * 100:.2f}{lost} (95 % sure)"
    )


def _alternatives(result: BuildResult) -> list[Row]:
    """The proven candidates that come closest to the winner, or would beat it, by what they competed in."""
    others = [row for row in result.candidates if not row.selected]
    return sorted(others, key=lambda row: -_factor(row, result))[:_ALTERNATIVES]


def _factor(row: Row, result: BuildResult) -> float:
    """How many times better than float a candidate is in what they competed in."""
    match result.goal:
        case "latency":
            return _speeds(row)[0].over_float.value
        case "throughput":
            return _speeds(row)[1].over_float.value
        case "size":
            baseline = next(other.report for other in result.candidates if other.report.name == result.baseline)
            return baseline.size / row.report.size
        case goal:
            assert_never(goal)


def _remarks(result: BuildResult) -> Iterator[tuple[str, str]]:
    """Yield what must be known about the winner, the gravest first."""
    winner = next(row for row in result.candidates if row.selected)
    if winner.report.parity.empty:
        yield "note", "the proof of the winner is empty: one and the same answer to every example would pass, too"
    if result.unlisted_operators:
        options = " ".join(f"--allow-operator {operator}" for operator in result.unlisted_operators)
        yield "note", f"it calls operators that may do more than compute: verify, bench and serve want {options}"
    if not result.labelled:
        yield "note", "the data have no labels: every figure is of agreement with float"
    if winner.report.lossy and (note := class_note(result.test, result.words, allowed=result.test_verdict.allowed)):
        yield "note", f"{note} on test"
    if not winner.report.parity.batch_invariant:
        batches = winner.report.runtime.allow_batch_variant
        yield "note", f"its answers depend on the rest of a batch; served {'in batches' if batches else 'one by one'}"
    held = result.coverage.get("test")
    for gap in () if held is None else held.lines("test", by_float=not result.labelled):
        yield "note", gap


def _places(result: BuildResult) -> Iterator[tuple[str, str]]:
    """Yield where things lie, what was done, and what to do next."""
    ran = [stage for stage in result.stages if stage.action == "ran"]
    if ran:
        yield "ran", ", ".join(f"{stage.stage} {_duration(stage.seconds)}" for stage in ran)
    elif result.stages:
        yield "ran", "nothing: everything is up to date"
    if result.page.is_file():
        yield "report", str(result.page)
    else:
        yield "picture", str(result.run_dir / "pareto.png")
    yield "archive", str(result.archive)
    yield "next", f"pipeline serve {result.archive}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02} min"
