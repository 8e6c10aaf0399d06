"""Makes the candidates that a recipe asks for, and decides what becomes of those that cannot be proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import evaluate_once, folder_of, keep_row, runtime_of
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import CandidateSpec, candidate_specs
from pipeline.candidates.unproven import (
    Named,
    Unproven,
    ending,
    require_float,
    require_variants,
    way_on,
    without_format,
)
from pipeline.engine.stage import Reporter, report_status
from pipeline.recipe.candidates import Candidates


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes, proves and judges one candidate after the other.

    Args:
        candidates: the recipe's `[candidates]` section.
        named: what the recipe names. The build ends if one of these cannot be had.
        float_logits: logits of the float network on the validation split, (N, K).
        reports: reports on the candidates that are proven so far, by name.
    """

    candidates: Candidates
    named: Named
    float_logits: NDArray[np.float32]
    reports: dict[str, CandidateReport] = field(default_factory=dict)

    def make(self, spec: CandidateSpec, context: Context) -> CandidateReport | Unproven:
        """Make a candidate, unless an interrupted run did.

        Args:
            spec: the candidate to make.
            context: what it is made from and checked against.

        Returns:
            Its report; or the row that says why it cannot be selected.

        Raises:
            PipelineError: the build must not go on without it.
        """
        report_status(context.reporter, "candidate", spec.name)
        result = evaluate_once(spec, context, float_logits=self.float_logits)
        if isinstance(result, Unproven):
            if (way := way_on(result, self.named, self.candidates.formats)) is not None:
                file = folder_of(spec, context) / runtime_of(spec, context).file
                raise ending(result, way, file=file if file.exists() else None)
            keep_row(spec, context, result)
        else:
            self.reports[spec.name] = result
            report_status(context.reporter, "step", f"candidates: {_summary(result)}")
        report_status(context.reporter, "candidate", "")
        return result


def make_requested(
    candidates: Candidates,
    *,
    make: Callable[[CandidateSpec], CandidateReport | Unproven],
    named: Named,
    reporter: Reporter,
) -> tuple[list[CandidateSpec], list[Unproven]]:
    """Make the candidates that a recipe asks for.

    In a format in which the float network cannot be had, nothing else is tried.

    Args:
        candidates: the recipe's `[candidates]` section.
        make: function that makes, proves and judges a candidate. It raises where the build must not go on without it.
        named: what the recipe names.
        reporter: receives a line on each candidate that cannot be selected, with the reason.

    Returns:
        Specifications of the candidates that are proven, and rows of the others.

    Raises:
        UsageError: the float network, or a candidate that the recipe names, can be had in no format.
    """
    requested = candidate_specs(candidates)
    proven: list[CandidateSpec] = []
    rows: list[Unproven] = []
    absent: dict[str, Unproven] = {}
    for number, spec in enumerate(requested):
        reporter.progress("candidates", number, len(requested), spec.name)
        if spec.format in absent:
            row = without_format(spec, absent[spec.format])
            if row.name == named.candidate:
                raise ending(row, way_on(row, named, candidates.formats) or "")
        else:
            result = make(spec)
            if not isinstance(result, Unproven):
                proven.append(spec)
                continue
            row = result
            reporter.log(f"candidates: {row.name}: {row.verdict}, and the build goes on: {row.reason}")
            if not spec.lossy:
                absent[spec.format] = row
        rows.append(row)
    reporter.progress("candidates", len(requested), len(requested))
    require_float([spec.name for spec in proven], rows)
    require_variants(candidates.variants or (), proven, rows)
    return proven, rows


def _summary(report: CandidateReport) -> str:
    quality = report.quality
    drop = f", drop {quality.drop * 100:+.2f} points" if report.lossy else ""
    return (
        f"{report.name} ({report.how}): parity {report.parity.nearest:.1e} of {report.parity.limit:.1e} allowed, "
        f"{quality.metric} {quality.accuracy:.4f}{drop}, {report.size / 1000:,.0f} kB"
    )
