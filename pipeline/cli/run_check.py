"""`pipeline verify RUN_DIR`: the lines that a person reads of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.candidates.rank import Ranking
    from pipeline.commands.verify_run import CandidateVerification, RunVerification

_SHOWN = 5


def run_lines(verification: RunVerification, *, rank: bool) -> list[str]:
    """Return a line or more for each candidate, then what the build could not prove or judge.

    Args:
        verification: verification of the run.
        rank: whether layers were to be ranked.
    """
    from pipeline.candidates.choose import OVER

    lines = [line for candidate in verification.candidates for line in _lines(candidate)]
    lines += [f"{row.name}: no file was kept, {row.verdict}: {row.reason}" for row in verification.unproven]
    lines += [f"Of the build's verdicts: {gap}." for gap in verification.gaps]
    over = any(
        candidate.verdict is not None and candidate.verdict.text == OVER for candidate in verification.candidates
    )
    if rank and not over:
        lines.append("No candidate is over its budget: there are no layers to rank.")
    if over and not rank:
        lines.append("--rank says which layers cost a candidate over budget its accuracy (up to 2 minutes for each).")
    return lines


def _lines(candidate: CandidateVerification) -> list[str]:
    if candidate.parity is None:
        return [f"{candidate.candidate}: altered since the build, not loaded"]
    altered = ", altered since the build" if candidate.altered else ""
    if not candidate.parity.passed:
        return [f"{candidate.candidate}: DIFFERS{altered}: {candidate.finding.text or candidate.parity.error}"]
    worst = candidate.parity.worst
    assert worst is not None  # because a parity that passed has checks
    largest = max(check.comparison.max_absolute for check in candidate.parity.checks)
    same = (
        f"{candidate.candidate}: same as {candidate.parity.reference}{altered}: largest difference {largest:.1e}, "
        f"limit {worst.comparison.limit:.1e}, {len(candidate.parity.checks)} checks"
    )
    lines = [same, f"  {candidate.miss}"] if candidate.miss else [same]
    return lines if candidate.ranking is None else [*lines, *_ranking(candidate.ranking)]


def _ranking(ranking: Ranking) -> list[str]:
    from pipeline.precision import PRECISIONS

    if not ranking.gains:
        whole = " or ".join(str(facts.made_by) for facts in PRECISIONS.values() if not facts.by_layer)
        return [f"  its layers cannot be ranked: all compute in {whole}, or would have to be fine-tuned again"]
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
