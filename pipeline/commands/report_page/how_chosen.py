"""How the build chose and measured, for a reader of the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from pipeline.candidates.choose import winner_of
from pipeline.candidates.unproven import CandidateList
from pipeline.commands.build_result import BuildResult, Row
from pipeline.commands.report_page.words import counted, percent, points
from pipeline.inspection.graph_comparison import GRAPH_NAME
from pipeline.measure.gain import MINIMUM_GAIN


def how_chosen(result: BuildResult, *, listed: CandidateList, named: str | None, processor: str) -> Iterator[str]:
    """Say who came second, by which rule the build chose, on which data, and how times were taken.

    Args:
        result: what the build ended with.
        listed: all candidates that were tried.
        named: candidate that the recipe selects by name; None where it leaves the choice to the build.
        processor: name of the processor that times were taken on; empty where it is not known.

    Yields:
        A paragraph each.
    """
    winner = next(row for row in result.candidates if row.selected)
    if named is None:
        yield _runner_up(result)
    yield _rule(result, named)
    if winner.report.lossy:
        yield _confirmation(result, winner, listed, named)
    yield _times(result, winner, processor)


def _runner_up(result: BuildResult) -> str:
    first, others = result.candidates[0].report, [row for row in result.candidates if not row.selected]
    if not others:
        return "There was no other candidate."
    allowed = [row.report for row in others if row.verdict.allowed]
    if not allowed:
        return "No other candidate is inside its limits."
    second, _ = winner_of(allowed, goal=result.goal, reference=first)
    return f"The runner-up is {second.name}: {result.reasons()[second.name]}."


def _rule(result: BuildResult, named: str | None) -> str:
    if named is not None:
        return "How the build chooses: the recipe names the candidate, which must be inside its limits."
    sizes = [timing.batch_size for timing in result.candidates[0].report.timings]
    gain = f"{MINIMUM_GAIN * 100:.0f} %"
    certain = f"the gain over it is certain (its interval excludes 1) and above {gain}"
    match result.goal:
        case "latency":
            first, unless = "the fastest one at one example a call wins", certain
        case "throughput":
            first, unless = f"the fastest one at {counted(max(sizes), 'example')} a call wins", certain
        case "size":
            first, unless = "the one with the smallest file wins", f"its file is more than {gain} larger"
        case _:
            assert_never(result.goal)
    return (
        f"How the build chooses: among the candidates inside their limits {first}; a simpler one (fewer "
        f"passes, or as many and ONNX instead of TorchScript) is preferred unless {unless}."
    )


def _confirmation(result: BuildResult, winner: Row, listed: CandidateList, named: str | None) -> str:
    """Say on which examples the winner's loss was bounded, and how often each were looked at."""
    drop, verdict, test = winner.report.quality.drop, winner.verdict, result.test
    began = "It was chosen on validation" if named is None else "It was held against its limits on validation"
    as_many = f", as {listed.compared:,} lossy candidates could have been chosen" if listed.compared > 1 else ""
    if result.test_verdict.allowed:
        ending = "The test examples, which were looked at once and for it alone, confirm that"
    else:
        ending = "The test examples, which were looked at once and for it alone, do not confirm that"
    return (
        f"{began}: it lost {points(drop)} points there, and with {percent(verdict.confidence)} confidence no more than "
        f"{points(verdict.adjusted_drop_upper)}{as_many}. {ending} (with {percent(test.confidence)} confidence no more "
        f"than {points(test.drop_upper)} points)."
    )


def _times(result: BuildResult, winner: Row, processor: str) -> str:
    rounds = len(winner.report.timings[0].rounds_ms)
    layers = "; times of layers come from a run of their own" if (result.run_dir / GRAPH_NAME).is_file() else ""
    return (
        f"Times are medians of {counted(rounds, 'round')}, with {threads_of(winner, processor)}. Ratios are medians of "
        f"paired rounds, so they differ a little from quotients of the columns{layers}."
    )


def threads_of(row: Row, processor: str) -> str:
    """Say on how many threads of which processor a candidate was timed."""
    threads = counted(row.report.runtime.threads, "thread")
    return f"{threads} on {processor}" if processor else threads
