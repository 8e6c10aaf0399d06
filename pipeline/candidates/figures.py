"""Builds the report on a candidate from what was measured while it was made, proven and judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pipeline._handlers.description import RuntimeSpec
from pipeline.candidates.report import CandidateReport, How, ParityFigures, PassFigures
from pipeline.candidates.spec import CandidateSpec
from pipeline.checks.parity_report import ParityReport
from pipeline.compress.pass_effect import PassReport
from pipeline.engine.artifacts import digest_file
from pipeline.recipe.passes import Pass
from pipeline.tasks.quality import QualityReport


def make_report(
    spec: CandidateSpec,
    *,
    how: How,
    passes: Sequence[PassReport],
    tuned_sha256: str | None,
    file: Path,
    runtime: RuntimeSpec,
    parity: ParityReport,
    quality: QualityReport,
) -> CandidateReport:
    """Build the report on a candidate that is proven, without timings.

    Args:
        spec: what the candidate is.
        how: how its file was written.
        passes: what each of the specification's passes did, in their order.
        tuned_sha256: digest of its fine-tuned weights; None where it was not fine-tuned.
        file: its model file.
        runtime: how that file is run.
        parity: parity report on the file, which passed.
        quality: quality report on its answers on validation data.
    """
    return CandidateReport(
        name=spec.name,
        identity=spec.identity,
        variant=spec.variant,
        format=spec.format,
        precision=spec.precision,
        lossy=spec.lossy,
        how=how,
        passes=tuple(_pass_figures(settings, report) for settings, report in zip(spec.passes, passes, strict=True)),
        tuned_sha256=tuned_sha256,
        runtime=runtime,
        sha256=digest_file(file),
        size=file.stat().st_size,
        parity=_parity_figures(parity),
        quality=quality,
    )


def _parity_figures(parity: ParityReport) -> ParityFigures:
    worst = parity.worst
    assert worst is not None  # a parity that passed has checks
    return ParityFigures(
        reference=parity.reference,
        checks=len(parity.checks),
        max_absolute=parity.max_absolute,
        nearest=abs(worst.comparison.found - worst.comparison.expected),
        max_relative=parity.max_relative if math.isfinite(parity.max_relative) else None,
        cosine=parity.cosine,
        argmax_agreement=parity.argmax_agreement,
        limit=worst.comparison.limit,
        batch_invariant=parity.batch_invariant,
        batch_difference=parity.batch_difference,
        runs=parity.runs,
        not_run=dict(parity.not_run),
        left_out=dict(parity.left_out),
        noise=parity.noise,
        empty=parity.empty,
        tolerance=parity.tolerance,
    )


def _pass_figures(settings: Pass, report: PassReport) -> PassFigures:
    return PassFigures(
        kind=report.kind,
        detail=report.detail,
        settings=settings.model_dump(mode="json", exclude={"kind"}),
        removed_weight_share=report.removed_weight_share,
        removed_compute_share=report.removed_compute_share,
        sparsity=report.sparsity,
        weight_share=report.weight_share,
        compute_share=report.compute_share,
    )
