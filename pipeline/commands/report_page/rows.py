"""The table of candidates, with the reason why each was not chosen."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.archive.evidence.document import UnprovenEvidence
from pipeline.candidates.choose import ERROR_RATE
from pipeline.candidates.unproven import NOT_PROVEN, CandidateList, Unproven
from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.glossary import how_names_read, names_of
from pipeline.commands.report_page.trade_off import state_of
from pipeline.commands.report_page.words import counted, percent, points
from pipeline.measure.gain import times
from pipeline.pages.report.table import Cell, Column, Row, Table


def candidates_of(result: BuildResult, listed: CandidateList) -> Table:
    """Make the table of what a build ended with, sorted by the goal of the recipe.

    Args:
        result: what the build ended with.
        listed: all candidates that were tried.
    """
    sizes = [timing.batch_size for timing in result.candidates[0].report.timings]
    columns = (
        Column(name="candidate"),
        Column(name="why it is not the winner"),
        Column(name=f"{result.metric} (validation)", numeric=True),
        Column(name="drop", numeric=True, meaning=f"points of {result.drop_name} lost on validation"),
        Column(name="at most", numeric=True, meaning="bound of the drop that is held against the budget"),
        Column(name="kB", numeric=True, meaning="size of the model file"),
        *(Column(name=f"ms at {size}", numeric=True, meaning=f"milliseconds a call of {size}") for size in sizes),
        Column(name="speed, x float", numeric=True, meaning="times as fast as the float file, one example at a time"),
    )
    names = [column.name for column in columns]
    place = names.index(
        {"latency": f"ms at {min(sizes)}", "throughput": f"ms at {max(sizes)}", "size": "kB"}[result.goal]
    )
    return Table(
        caption=f"Drop: points of {result.drop_name} lost on validation; at most: what the budget is held against.",
        columns=columns,
        rows=(
            *sorted(_with_figures(result, sizes), key=lambda row: row.cells[place].value or 0.0),
            *(unproven_row(row, columns=len(columns)) for row in result.unproven),
        ),
        sorted_by=place,
        notes=(_counts(result, listed), how_names_read(result)),
        terms=names_of(result),
    )


def _counts(result: BuildResult, listed: CandidateList) -> str:
    """Say how many candidates were tried, how many are proven and measured, and for how many bounds are adjusted."""
    proven, others = len(result.candidates), result.unproven
    text = f"{counted(proven + len(others), 'candidate')} tried: "
    if others:
        names = ", ".join(row.name for row in others)
        text += f"{proven} proven, measured and drawn above; {len(others)} not ({names})."
    else:
        text += f"{'all ' if proven > 1 else ''}proven, measured and drawn above."
    if not listed.compared:
        return text
    measured = sum(row.report.lossy for row in result.candidates)
    refused = sum(row.lossy and row.variant in (listed.searched or ()) for row in others)
    planned = listed.compared - measured - refused
    more = f", {planned} of which the search planned and did not make" if planned > 0 else ""
    text += f" {counted(listed.compared, 'lossy candidate')} could have been chosen{more}"
    if listed.compared == 1:
        return f"{text}."
    bound = percent(result.candidates[0].verdict.confidence)
    return (
        f"{text}: each bound holds with {bound}, so that all of them hold together with {(1 - ERROR_RATE) * 100:.0f} %."
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


def unproven_row(row: Unproven | UnprovenEvidence, *, columns: int) -> Row:
    """Make the row of a candidate without figures: a sentence, and the reason in full where a reader asks for it."""
    if row.verdict != NOT_PROVEN:
        cell = Cell(text=f"It {row.verdict}: {row.reason}.")
    else:
        brief = f" ({row.brief})" if row.brief else ""
        text = f"It was not proven to be the same model as its source{brief}, so it cannot be chosen."
        cell = Cell(text=text, details=f"{row.reason}.")
    return Row(
        name=row.name,
        state="unproven",
        cells=(Cell(text=row.name), cell, *(Cell(text="-") for _ in range(columns - 2))),
    )
