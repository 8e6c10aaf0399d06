"""`pipeline verify RUN_DIR`: what a person reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.answer import say
from pipeline.cli.app import print_json

if TYPE_CHECKING:
    from pipeline.candidates.rank import Ranking
    from pipeline.commands.verify_run import CandidateVerification

_SHOWN = 5


def verify_run_dir(run_dir: Path, *, rank: bool, as_json: bool) -> None:
    """Check the candidates of a run, print what was found, and stop where one is wrong.

    Args:
        run_dir: of a build whose candidates are done.
        rank: also rank the layers of each candidate that is over its budget.
        as_json: print one JSON document.

    Raises:
        ProofError: a candidate does not reproduce its reference.
        FileError: a file is missing or was altered.
    """
    from pipeline.candidates.choose import OVER
    from pipeline.cli.render import console
    from pipeline.commands.verify_run import verify_run

    with console.Terminal() as terminal:
        found = verify_run(run_dir, reporter=terminal, rank=rank)
    if as_json:
        print_json(found.to_json())
    else:
        for one in found.candidates:
            say(*_lines(one))
        for row in found.unproven:
            say(f"{row.name}: no file was kept, {row.verdict}: {row.reason}")
        for line in found.gaps:
            say(f"Of the build's verdicts: {line}.")
        over = any(one.verdict is not None and one.verdict.text == OVER for one in found.candidates)
        if rank and not over:
            say("No candidate is over its budget: there are no layers to rank.")
        if over and not rank:
            say("--rank says which layers cost a candidate over budget its accuracy (up to 2 minutes for each).")
    found.require()


def _lines(one: CandidateVerification) -> list[str]:
    if one.parity is None:
        return [f"{one.candidate}: altered since the build, not loaded"]
    altered = ", altered since the build" if one.altered else ""
    if not one.parity.passed:
        return [f"{one.candidate}: DIFFERS{altered}: {one.finding.text or one.parity.error}"]
    worst = one.parity.worst
    assert worst is not None  # a parity that passed has checks
    largest = max(check.comparison.max_absolute for check in one.parity.checks)
    same = (
        f"{one.candidate}: same as {one.parity.reference}{altered}: largest difference {largest:.1e}, "
        f"limit {worst.comparison.limit:.1e}, {len(one.parity.checks)} checks"
    )
    lines = [same, f"  {one.miss}"] if one.miss else [same]
    return lines if one.ranking is None else [*lines, *_ranking(one.ranking)]


def _ranking(ranking: Ranking) -> list[str]:
    if not ranking.gains:
        return ["  its layers cannot be ranked: all compute in bfloat16, or would have to be fine-tuned again"]
    heading = (
        f"  what leaving one layer out of a pass would win back of {ranking.drop * 100:+.2f} points on "
        f"{ranking.examples} validation examples:"
    )
    lines = [heading]
    lines += [
        f"    {gain.layer} out of {gain.kind}: {gain.accuracy * 100:+.2f} points, divergence from float "
        f"{-gain.divergence:+.2g} of {ranking.divergence:.2g}"
        for gain in ranking.gains[:_SHOWN]
    ]
    if len(ranking.gains) > _SHOWN:
        lines.append(f"    and {len(ranking.gains) - _SHOWN} more, that would win back less")
    if ranking.left_out:
        lines.append(f"    {ranking.left_out} layers with fewer weights were not tried, for lack of time")
    return lines
