"""How the build chose and measured, for a reader of the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from pipeline.candidates.choose import choose
from pipeline.candidates.unproven import CandidateList
from pipeline.commands.build_result import BuildResult, Row
from pipeline.commands.report_page.words import counted, percent, points
from pipeline.errors import ProofError
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
        yield _runner_up(result, listed)
    yield _rule(result, named)
    if winner.report.lossy:
        yield _splits(result, winner, listed)
    yield _clocks(winner, processor)


def _runner_up(result: BuildResult, listed: CandidateList) -> str:
    others = [row.report for row in result.candidates if not row.selected]
    try:
        second = choose(others, goal=result.goal, limits=result.limits, compared=listed.compared).selected
    except ProofError:
        return "No other candidate is inside its limits."
    return f"The runner-up is {second}: {result.reasons()[second]}."


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
            first, unless = f"the fastest one at {max(sizes)} examples a call wins", certain
        case "size":
            first, unless = "the one with the smallest file wins", f"its file is more than {gain} larger"
        case _:
            assert_never(result.goal)
    return (
        f"How the build chooses: among the candidates inside their limits {first}; a simpler one (fewer "
        f"passes, or as many and ONNX instead of TorchScript) is preferred unless {unless}."
    )


def _splits(result: BuildResult, winner: Row, listed: CandidateList) -> str:
    drop, verdict, test = winner.report.quality.drop, winner.verdict, result.test
    ending = (
        "and confirmed once on test" if result.test_verdict.allowed else "and held once against test, which disagrees"
    )
    return (
        f"It was chosen on validation (lost {points(drop)} points, and with {percent(verdict.confidence)} confidence "
        f"no more than {points(verdict.adjusted_drop_upper)}, as {counted(listed.compared, 'candidate')} could have "
        f"been chosen) {ending}, where it alone was looked at (with {percent(test.confidence)} confidence no more than "
        f"{points(test.drop_upper)})."
    )


def _clocks(winner: Row, processor: str) -> str:
    rounds = len(winner.report.timings[0].rounds_ms)
    return (
        f"Times are medians of {counted(rounds, 'round')}, with {threads_of(winner, processor)}. Ratios are medians of "
        "paired rounds, so they differ a little from quotients of the columns; times of layers come from a run of "
        "their own."
    )


def threads_of(row: Row, processor: str) -> str:
    """Say on how many threads of which processor a candidate was timed."""
    threads = counted(row.report.runtime.threads, "thread")
    return f"{threads} on {processor}" if processor else threads
