"""The verdict in two sentences: which file was chosen and what it gains, what it may have lost and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.candidates.choose import ERROR_RATE, LOSSLESS
from pipeline.candidates.speed import SpeedUp
from pipeline.candidates.unproven import CandidateList
from pipeline.commands.build_result import BuildResult, Row
from pipeline.commands.report_page.how_chosen import how_chosen, threads_of
from pipeline.commands.report_page.words import duration, file_size, percent, points
from pipeline.measure.gain import Ratio, interval, times
from pipeline.pages.report.document import KeyFigure, Verdict

_SURE = f"{(1 - ERROR_RATE) * 100:.0f} %"


def verdict_of(result: BuildResult, *, listed: CandidateList, named: str | None, processor: str) -> Verdict:
    """Write the verdict on a build.

    Args:
        result: what the build ended with.
        listed: all candidates that were tried.
        named: candidate that the recipe selects by name; None where it leaves the choice to the build.
        processor: name of the processor that times were taken on; empty where it is not known.
    """
    rows = {row.report.name: row for row in result.candidates}
    winner, baseline = rows[result.selected], rows[result.baseline]
    return Verdict(
        sentences=(_gain(winner, baseline, processor), _loss(result, winner)),
        warnings=tuple(_warnings(result)),
        figures=tuple(_figures(result, winner, baseline)),
        notes=tuple(how_chosen(result, listed=listed, named=named, processor=processor)),
    )


def _gain(winner: Row, baseline: Row, processor: str) -> str:
    name, size = winner.report.name, file_size(winner.report.size)
    alone = min(winner.speed, key=lambda speed: speed.batch_size)
    time = f"{duration(winner.report.timing(1).median_ms)} ({threads_of(winner, processor)})"
    if winner.report.variant == baseline.report.variant and not winner.report.lossy:
        return (
            f"The build chose the float network itself, as {name} ({size}): it answers one example in {time}, "
            f"{_faster(alone.over_eager)} PyTorch."
        )
    smaller = baseline.report.size / winner.report.size
    return (
        f"The build chose {name}: it answers one example in {time}, "
        f"{_faster(alone.over_float)} the float network, and its file is {_smaller(smaller)} ({size} instead of "
        f"{file_size(baseline.report.size)})."
    )


def _faster(ratio: Ratio) -> str:
    """Say how fast something is, ending before the name of what it is compared with."""
    sure = f"{interval(ratio)} with {_SURE} confidence"
    match ratio.claim():
        case "faster":
            return f"{times(ratio.value)} times as fast ({sure}) as"
        case "slower":
            return f"slower ({times(ratio.inverse.value)} times as long; {interval(ratio.inverse)}) than"
        case "none":
            return f"not certainly faster or slower ({times(ratio.value)} times as fast; {sure}) than"


def _smaller(ratio: float) -> str:
    return f"{times(ratio)} times smaller" if ratio >= 1 else f"{times(1 / ratio)} times as large"


def _loss(result: BuildResult, winner: Row) -> str:
    test, verdict = result.test, result.test_verdict
    if verdict.text == LOSSLESS:
        return (
            "It loses nothing: its answers are those of the float network within rounding "
            f"({winner.report.parity.checks} comparisons), and so is its {test.metric} on {test.examples:,} test "
            f"examples, {percent(test.accuracy)}."
        )
    budget = f"the budget allows {points(result.limits.max_accuracy_drop)}"
    at_most = f"and with {_SURE} confidence no more than {points(test.drop_upper)}; {budget}."
    if result.labelled:
        return (
            f"On {test.examples:,} test examples that nothing had looked at before, its {test.metric} is "
            f"{percent(test.accuracy)} and that of the float network {percent(test.float_accuracy)}: it lost "
            f"{points(test.drop)} points, {at_most}"
        )
    return (
        f"On {test.examples:,} test examples that nothing had looked at before, it decides as float does in "
        f"{percent(test.accuracy)}: it lost {points(test.drop)} points of agreement, {at_most}"
    )


def _warnings(result: BuildResult) -> Iterator[str]:
    if not result.test_verdict.allowed:
        yield (
            f"The test set does not confirm the budget: {result.test_verdict.text}; the most that may be lost is "
            f"{points(result.test_verdict.adjusted_drop_upper)} points there, and "
            f"{points(result.limits.max_accuracy_drop)} are allowed."
        )
    if not result.labelled:
        yield "The data have no labels: figures say how far decisions agree with float's, not how often they are right."
    if result.unlisted_operators:
        yield (
            f"It calls operators that may do more than compute: {', '.join(result.unlisted_operators)}; `verify`, "
            "`bench` and `serve` want each allowed by name."
        )
    for split, coverage in result.coverage.items():
        if split == "test":
            for line in coverage.lines(split, by_float=not result.labelled):
                yield f"{line[:1].upper()}{line[1:]}."


def _figures(result: BuildResult, winner: Row, baseline: Row) -> Iterator[KeyFigure]:
    for speed in _ends(winner.speed):
        one = speed.batch_size == 1
        ratio = speed.over_float if winner.report.name != baseline.report.name else speed.over_eager
        against = "float" if ratio is speed.over_float else "PyTorch"
        yield KeyFigure(
            name="One example at a time" if one else f"{speed.batch_size} examples at a time",
            value=f"{times(ratio.value)}x {against}",
            detail=f"{interval(ratio)}; {duration(winner.report.timing(speed.batch_size).median_ms)} a call",
        )
    yield KeyFigure(
        name="Model file",
        value=file_size(winner.report.size),
        detail=f"float: {file_size(baseline.report.size)}",
    )
    test = result.test
    lossless = result.test_verdict.text == LOSSLESS
    yield KeyFigure(
        name=f"{test.metric[:1].upper()}{test.metric[1:]} on test",
        value=percent(test.accuracy),
        detail=f"float: {percent(test.float_accuracy)}" if result.labelled else f"{test.examples:,} examples",
    )
    yield KeyFigure(
        name="Lost on test, at most",
        value="nothing" if lossless else f"{points(test.drop_upper)} points",
        detail="" if lossless else f"measured {points(test.drop)}; allowed {points(result.limits.max_accuracy_drop)}",
    )


def _ends(speed: tuple[SpeedUp, ...]) -> list[SpeedUp]:
    """The smallest and the largest batch size."""
    ordered = sorted(speed, key=lambda each: each.batch_size)
    return list({each.batch_size: each for each in (ordered[0], ordered[-1])}.values())
