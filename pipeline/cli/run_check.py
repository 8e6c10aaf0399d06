"""`pipeline verify RUN_DIR`: what a person reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.app import print_json

if TYPE_CHECKING:
    from pipeline.candidates.rank import Ranking
    from pipeline.proof.run import CandidateVerification

_SHOWN = 5


def verify_run_dir(run_dir: Path, *, as_json: bool) -> None:
    """Check the candidates of a run, print what was found, and stop where one is wrong.

    Raises:
        ProofError: a candidate does not reproduce its reference.
        FileError: a file is missing or was altered.
    """
    from pipeline import console
    from pipeline.proof.run import verify_run

    with console.Terminal() as terminal:
        found = verify_run(run_dir, reporter=terminal)
    if as_json:
        print_json(found.to_json())
    else:
        for one in found.candidates:
            typer.echo("\n".join(_lines(one)))
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
    return [same] if one.ranking is None else [same, *_ranking(one.ranking)]


def _ranking(ranking: Ranking) -> list[str]:
    heading = (
        f"  over its budget: drop {ranking.drop * 100:+.2f} points on {ranking.examples} validation examples; what "
        "leaving one layer out of a pass would win back:"
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
