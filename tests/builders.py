"""Reports of candidates as a build would write them, for tests that need no build."""

from __future__ import annotations

from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.candidates.report import (
    CandidateReport,
    ParityFigures,
    PassFigures,
    TimingFigures,
)
from pipeline.candidates.unproven import Unproven
from pipeline.formats import FormatName
from pipeline.precision import Precision
from pipeline.recipe.limits import Budget
from pipeline.tasks.intervals import drop_bounds
from pipeline.tasks.quality import QualityReport

LIMITS = Budget(max_accuracy_drop=0.01, max_confident_flips=0.001)


JITTER = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.002, 0.998, 1.0)


PRUNED = PassFigures(kind="magnitude-pruning", detail="30 %", sparsity=0.3, weight_share=0.3, compute_share=1.0)


def timing(batch_size: int, milliseconds: float) -> TimingFigures:
    values = tuple(milliseconds * factor for factor in JITTER)
    return TimingFigures(batch_size=batch_size, median_ms=milliseconds, rounds_ms=values)


def quality(*, lost: int = 0, gained: int = 0, confident: int = 0, examples: int = 10_000) -> QualityReport:
    bounds = drop_bounds(lost=lost, gained=gained, examples=examples)
    return QualityReport(
        examples=examples,
        accuracy=0.93 - (lost - gained) / examples,
        float_accuracy=0.93,
        drop=(lost - gained) / examples,
        interval_lower=bounds[0],
        interval_upper=bounds[1],
        drop_upper=bounds[1],
        confidence=0.95,
        flips=lost + gained,
        lost=lost,
        gained=gained,
        confident_flips=confident,
        near_tie_flips=0,
        smallest_provable_drop=0.0,
        worst_class=0,
        worst_class_name="a",
        worst_class_drop=0.0,
        worst_class_examples=1,
        divergence=0.0,
        calibration_error=0.0,
        float_calibration_error=0.0,
    )


def candidate(
    variant: str = "float",
    form: FormatName = "onnx",
    precision: Precision = "fp32",
    *,
    ms: float = 1.0,
    batch_ms: float = 30.0,
    size: int = 1000,
    judged: QualityReport | None = None,
) -> CandidateReport:
    lossy = variant != "float" or precision != "fp32"
    return CandidateReport(
        name=f"{variant}.{form}.{precision}",
        identity=variant,
        variant=variant,
        format=form,
        precision=precision,
        lossy=lossy,
        how="export",
        passes=(PRUNED,) if lossy else (),
        runtime=RuntimeSpec(kind="onnxruntime", file="model.onnx"),
        sha256="0" * 64,
        size=size,
        parity=ParityFigures(
            reference="torch",
            checks=1,
            max_absolute=0,
            nearest=0,
            max_relative=0,
            cosine=1,
            argmax_agreement=1,
            limit=1,
            batch_invariant=True,
            batch_difference=0,
            runs=("as served",),
            not_run={},
            tolerance=FLOAT32,
        ),
        quality=judged or quality(),
        timings=(timing(1, ms), timing(32, batch_ms)),
    )


def not_proven(name: str, reason: str = "differs") -> Unproven:
    variant, form, precision = name.split(".")
    return Unproven.model_validate(
        {
            "name": name,
            "identity": "0",
            "variant": variant,
            "format": form,
            "precision": precision,
            "lossy": True,
            "verdict": "not proven",
            "brief": "24 of 96 checks failed",
            "reason": reason,
        }
    )
