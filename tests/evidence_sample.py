"""Evidence of the small archives in `tests.served_models`, as a build would write it."""

from __future__ import annotations

from typing import Any

from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.archive.evidence.code import Code, portable_settings
from pipeline.archive.evidence.document import CandidateEvidence, DataEvidence, Evidence, Metrics
from pipeline.candidates.report import CandidateReport, ParityFigures, PassFigures, TimingFigures
from pipeline.engine.artifacts import digest_bytes
from pipeline.recipe.recipe import Recipe
from pipeline.tasks.quality import QualityReport
from tests.served_models import GREY, LABELS, linear_onnx

MEASURED = QualityReport(
    examples=100,
    accuracy=0.93,
    float_accuracy=0.94,
    drop=0.01,
    interval_lower=-0.005,
    interval_upper=0.025,
    drop_upper=0.022,
    confidence=0.95,
    flips=1,
    lost=1,
    gained=0,
    confident_flips=0,
    near_tie_flips=1,
    smallest_provable_drop=0.02,
    worst_class=0,
    worst_class_name=LABELS[0],
    worst_class_drop=0.1,
    worst_class_examples=10,
    divergence=1e-4,
    calibration_error=0.02,
    float_calibration_error=0.02,
)
QUALITY: dict[str, Any] = {**MEASURED.model_dump(mode="json"), "accuracy_lower": 0.8625, "accuracy_upper": 0.9657}
PARITY = ParityFigures(
    reference="its torch module",
    checks=32,
    max_absolute=1e-6,
    max_relative=1e-6,
    cosine=1.0,
    argmax_agreement=1.0,
    nearest=1e-6,
    limit=1e-4,
    batch_invariant=True,
    batch_difference=0.0,
    runs=("as served",),
    not_run={},
    tolerance=FLOAT32,
)


def sample_recipe() -> Recipe:
    """One with names of places in it."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"factory": "nets:build", "weights": "/home/someone/w.pth", "arguments": {"file": "~/a/b.json"}},
            "data": {"factory": "data:load", "path": "C:\\data\\pictures", "seed": 3},
            "train": {"epochs": 0, "seed": 5},
        }
    )


def sample_report() -> CandidateReport:
    """Of the float network."""
    return CandidateReport(
        name="float.onnx.fp32",
        identity="0" * 64,
        variant="float",
        format="onnx",
        precision="fp32",
        lossy=True,
        how="export",
        passes=(
            PassFigures(
                kind="magnitude-pruning",
                detail="30 % of each layer",
                sparsity=0.3,
                weight_share=1.0,
                compute_share=1.0,
            ),
        ),
        runtime=RuntimeSpec(kind="onnxruntime", file="model.onnx"),
        sha256=digest_bytes(linear_onnx([GREY])),
        size=1234,
        parity=PARITY,
        quality=MEASURED,
        timings=(TimingFigures(batch_size=1, median_ms=0.1, rounds_ms=(0.1,)),),
    )


def sample_evidence(
    *, digests: dict[str, str] | None = None, validation: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A whole document but for `members`.

    Args:
        digests: of the splits.
        validation: quality on validation, in place of the made-up one.
    """
    recipe, report = sample_recipe(), sample_report()
    evidence = Evidence(
        model={"name": "tiny", "version": "1.0"},
        candidate=report.name,
        why="named by the recipe",
        task="classification",
        activation="none",
        inputs=(GREY.to_json(),),
        labels=tuple(LABELS),
        parameters=240,
        recipe=portable_settings(recipe),
        seeds={"data": recipe.data.seed, "train": recipe.train.seed},
        code=Code(
            name="pipeline",
            version="0.1.0",
            source_sha256="2" * 64,
            python="3.11.7",
            libraries={"torch": "2.13.0+cpu", "Pillow": "11.0"},
            user_sources={"nets.py": "3" * 64},
        ),
        data=DataEvidence(
            name="pictures",
            sizes={"train": 300, "validation": 100, "test": 100},
            digests=digests or {"train": "4" * 64, "validation": "5" * 64, "test": "6" * 64},
            sources={"pictures.zip": "7" * 64},
        ),
        weights_sha256="8" * 64,
        metrics=Metrics.model_validate({"validation": validation or QUALITY, "test": QUALITY}),
        candidates=(CandidateEvidence.model_validate({**report.to_evidence(), "verdict": "within budget"}),),
    )
    return evidence.model_dump(mode="json")
