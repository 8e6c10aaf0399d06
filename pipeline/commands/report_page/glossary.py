"""What the names of candidates mean."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.candidates.report import CandidateReport
from pipeline.commands.build_result import BuildResult
from pipeline.precision import PRECISIONS, Precision
from pipeline.recipe.names import SLIM, SLIM_LEGEND, is_search_name

_NUMBERS: Mapping[Precision, str] = {
    "fp32": "computes in 32-bit floats, as the network was trained",
    "int8-dynamic": "8-bit weights; how activations are scaled is found anew in each call",
    "int8-static": "8-bit weights and activations; how they are scaled was fixed beforehand, on training examples",
    "bf16": "computes in 16-bit floats (bfloat16)",
}
# What a pass does to a network, where its name does not say it.
_DOES: Mapping[str, str] = {"magnitude-pruning": "weights set to zero", "channel-pruning": "channels removed"}


def how_names_read(result: BuildResult) -> str:
    """Say of what a candidate's name consists."""
    slim = any(is_search_name(row.report.variant) for row in result.candidates)
    return f"A name is network.format.numbers.{f' {SLIM_LEGEND}' if slim else ''}"


def names_of(result: BuildResult) -> dict[str, str]:
    """Say of each network how it was made, and of each kind of numbers what it is."""
    reports = [row.report for row in result.candidates]
    networks = {report.variant: _made(report) for report in reports}
    ordered = sorted(networks, key=lambda name: name.startswith(SLIM))
    precisions = dict.fromkeys(report.precision for report in reports)
    return {name: networks[name] for name in ordered} | {precision: _NUMBERS[precision] for precision in precisions}


def _made(report: CandidateReport) -> str:
    converting = {facts.made_by for facts in PRECISIONS.values()}
    steps = [
        f"{_DOES.get(step.kind, step.kind)}: {step.detail}" for step in report.passes if step.kind not in converting
    ]
    return "; ".join(steps) or "the network as it was trained"
