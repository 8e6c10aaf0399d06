"""The picture of the trade-off, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipeline.candidates.choose import Verdict
from pipeline.candidates.contest import contestants
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.selection import Selection
from pipeline.commands.build_result import BuildResult
from pipeline.measure.gain import MINIMUM_GAIN, estimate
from pipeline.pages.front import Point as FrontPoint
from pipeline.pages.front import pareto_front
from pipeline.pages.report.table import State
from pipeline.pages.report.trade_off import Axis, Point, Rival, TradeOff
from pipeline.recipe.candidates import Goal


def trade_off_of(result: BuildResult, selection: Selection, *, named: str | None) -> TradeOff:
    """Gather what candidates lose and gain.

    Args:
        result: what the build ended with.
        selection: what its select stage decided.
        named: candidate that the recipe selects by name; None where it leaves the choice to the build.
    """
    points = result.points()
    return TradeOff(
        drop_name=result.drop_name,
        budget=result.limits.max_accuracy_drop,
        minimum_gain=MINIMUM_GAIN,
        goal=selection.goal,
        axes=tuple(_axes(result, selection, points)),
        points=tuple(
            Point(name=point.name, drop=point.drop, low=point.drop_low, high=point.drop_high, state=state_of(point))
            for point in points
        ),
        named=named or "",
    )


def state_of(point: FrontPoint) -> State:
    """Tell how a candidate with figures stands."""
    if point.selected:
        return "chosen"
    return "inside" if point.allowed else "overturns" if point.overturns else "outside"


def _axes(result: BuildResult, selection: Selection, points: Sequence[FrontPoint]) -> Iterator[Axis]:
    reports = [row.report for row in result.candidates]
    sizes = [timing.batch_size for timing in reports[0].timings]

    def rivals(goal: Goal) -> tuple[Rival, ...]:
        return rivals_of(reports, selection, goal)

    yield Axis(
        goal="latency",
        name="latency",
        label="milliseconds for one example",
        unit="ms",
        costs={report.name: _time(report, 1, examples=1) for report in reports},
        front=pareto_front(points, "latency"),
        rivals=rivals("latency"),
    )
    if max(sizes) > 1:
        yield Axis(
            goal="throughput",
            name="throughput",
            label=f"milliseconds an example, {max(sizes)} at a time",
            unit="ms an example",
            costs={report.name: _time(report, max(sizes), examples=max(sizes)) for report in reports},
            rivals=rivals("throughput"),
        )
    yield Axis(
        goal="size",
        name="size",
        label="size of the model file, kB",
        unit="kB",
        costs={report.name: (report.size / 1e3,) * 3 for report in reports},
        front=pareto_front(points, "size"),
        rivals=rivals("size"),
    )


def rivals_of(reports: Sequence[CandidateReport], selection: Selection, goal: Goal) -> tuple[Rival, ...]:
    """Gather what the winner by a goal follows from under any budget."""
    verdicts: dict[str, Verdict] = selection.verdicts
    found = contestants(reports, verdicts=verdicts, goal=goal, limits=selection.limits)
    return tuple(Rival.model_validate(asdict(contestant)) for contestant in found)


def _time(report: CandidateReport, batch_size: int, *, examples: int) -> tuple[float, float, float]:
    value = estimate(report.timing(batch_size).rounds_ms)
    return value.value / examples, value.low / examples, value.high / examples
