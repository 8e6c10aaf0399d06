"""The table of candidates, with the reason why each was not chosen."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.candidates.unproven import NOT_PROVEN
from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.trade_off import state_of
from pipeline.commands.report_page.words import points, times
from pipeline.pages.report.table import Cell, Column, Row, Table


def candidates_of(result: BuildResult) -> Table:
    """Make the table of what a build ended with."""
    sizes = [timing.batch_size for timing in result.candidates[0].report.timings]
    rows = _with_figures(result, sizes)
    columns = (
        Column(name="candidate"),
        Column(name="why it is not the winner"),
        Column(name=result.metric, numeric=True, meaning="on validation"),
        Column(name="drop", numeric=True, meaning=f"points of {result.drop_name} lost on validation"),
        Column(name="at most", numeric=True, meaning="bound of the drop that is held against the budget"),
        Column(name="kB", numeric=True, meaning="size of the model file"),
        *(Column(name=f"ms at {size}", numeric=True, meaning=f"milliseconds a call of {size}") for size in sizes),
        Column(name="times float", numeric=True, meaning="times as fast as the float file, one example at a time"),
    )
    return Table(
        caption=f"Drop: points of {result.drop_name} lost on validation; at most: what the budget is held against.",
        columns=columns,
        rows=(*sorted(rows, key=lambda row: row.state != "chosen"), *_unproven(result, len(columns))),
    )


def _with_figures(result: BuildResult, sizes: list[int]) -> Iterator[Row]:
    reasons = result.reasons()
    for row, point in zip(result.candidates, result.points(), strict=True):
        report, quality = row.report, row.report.quality
        ratio = next(speed.over_float for speed in row.speed if speed.batch_size == 1)
        reason = reasons[report.name]
        bound = row.verdict.adjusted_drop_upper
        yield Row(
            name=report.name,
            state=state_of(point),
            cells=(
                Cell(text=report.name),
                Cell(text=f"It is: {reason}." if row.selected else f"{reason[:1].upper()}{reason[1:]}."),
                Cell(text=f"{quality.accuracy:.4f}", value=quality.accuracy),
                Cell(text=points(quality.drop) if report.lossy else "0", value=quality.drop if report.lossy else 0.0),
                Cell(text=points(bound) if report.lossy else "0", value=bound if report.lossy else 0.0),
                Cell(text=f"{report.size / 1e3:,.0f}", value=float(report.size)),
                *(
                    Cell(text=f"{report.timing(size).median_ms:.3f}", value=report.timing(size).median_ms)
                    for size in sizes
                ),
                Cell(text=times(ratio.value), value=ratio.value),
            ),
        )


def _unproven(result: BuildResult, columns: int) -> Iterator[Row]:
    for row in result.unproven:
        yield Row(
            name=row.name,
            state="unproven",
            cells=(
                Cell(text=row.name),
                Cell(text=f"It {'was not proven' if row.verdict == NOT_PROVEN else row.verdict}: {row.reason}."),
                *(Cell(text="-") for _ in range(columns - 2)),
            ),
        )
