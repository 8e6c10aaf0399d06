"""What the names of candidates mean."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.candidates.report import CandidateReport
from pipeline.commands.build_result import BuildResult
from pipeline.precision import PRECISIONS
from pipeline.recipe.names import SLIM_LEGEND, is_search_name

# Words for passes whose names do not say what they do to a network.
_DOES: Mapping[str, str] = {"magnitude-pruning": "weights set to zero", "channel-pruning": "channels removed"}


def how_names_read(result: BuildResult) -> str:
    """Say of what a candidate's name consists."""
    slim = any(is_search_name(name) for name in _networks(result))
    return f"A name is network.format.numbers.{f' {SLIM_LEGEND}' if slim else ''}"


def names_of(result: BuildResult) -> dict[str, str]:
    """Say of each network how it was made, and of each number format what it is."""
    networks = _networks(result)
    ordered = sorted(networks, key=is_search_name)
    proven = [row.report.precision for row in result.candidates]
    precisions = dict.fromkeys([*proven, *(row.precision for row in result.unproven)])
    return {
        **{name: networks[name] for name in ordered if networks[name]},
        **{precision: PRECISIONS[precision].meaning for precision in precisions},
    }


def _networks(result: BuildResult) -> dict[str, str]:
    """How each network was made; empty for one of which nothing was proven."""
    proven = {row.report.variant: _made(row.report) for row in result.candidates}
    return dict.fromkeys((row.variant for row in result.unproven), "") | proven


def _made(report: CandidateReport) -> str:
    converting = {facts.made_by for facts in PRECISIONS.values()}
    steps = [
        f"{_DOES.get(step.kind, step.kind)}: {step.detail}" for step in report.passes if step.kind not in converting
    ]
    return "; ".join(steps) or "the network as it was trained"
