"""Evidence of the small archives in `tests.served_models`, as a build would write it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from handlers.tolerance import FLOAT32
from pipeline.artifacts import digest_bytes
from pipeline.evidence.document import Code, DataEvidence, Metrics, make_evidence, portable_settings
from pipeline.recipe import Recipe
from tests.served_models import GREY, LABELS, linear_onnx

QUALITY: dict[str, Any] = {
    "examples": 100,
    "accuracy": 0.93,
    "accuracy_lower": 0.8625,
    "accuracy_upper": 0.9657,
    "float_accuracy": 0.94,
    "drop": 0.01,
    "interval_lower": -0.005,
    "interval_upper": 0.025,
    "drop_upper": 0.022,
}
PARITY: dict[str, Any] = {
    "reference": "its torch module",
    "checks": 32,
    "max_absolute": 1e-6,
    "limit": 1e-4,
    "left_out": {},
    "tolerance": asdict(FLOAT32),
}


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


def sample_report() -> dict[str, Any]:
    """Of the float network."""
    return {
        "name": "float.onnx.fp32",
        "identity": "0" * 64,
        "variant": "float",
        "format": "onnx",
        "precision": "fp32",
        "lossy": True,
        "how": "export",
        "tuned_sha256": None,
        "passes": [{"kind": "magnitude-pruning", "detail": "30 % of each layer"}],
        "sha256": digest_bytes(linear_onnx([GREY])),
        "size": 1234,
        "parity": PARITY,
        "quality": QUALITY,
        "timings": [{"median_ms": 0.1}],
    }


def sample_evidence(
    *, digests: dict[str, str] | None = None, validation: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A whole document but for `members`.

    Args:
        digests: of the splits.
        validation: quality on validation, in place of the made-up one.
    """
    return make_evidence(
        model={"name": "tiny", "version": "1.0"},
        recipe=portable_settings(sample_recipe()),
        code=Code(
            name="pipeline",
            version="0.1.0",
            source_sha256="2" * 64,
            python="3.11.7",
            libraries={"torch": "2.13.0+cpu", "Pillow": "11.0"},
            user_sources={"nets.py": "3" * 64},
        ),
        info={"task": "classification", "activation": "none", "parameters": 240},
        inputs=[GREY.to_json()],
        labels=LABELS,
        data=DataEvidence(
            name="pictures",
            sizes={"train": 300, "validation": 100, "test": 100},
            digests=digests or {"train": "4" * 64, "validation": "5" * 64, "test": "6" * 64},
            sources={"pictures.zip": "7" * 64},
        ),
        weights_sha256="8" * 64,
        selection={
            "selected": "float.onnx.fp32",
            "why": "named by the recipe",
            "verdicts": {"float.onnx.fp32": {"text": "within budget"}},
        },
        metrics=Metrics(validation=validation or QUALITY, test=QUALITY),
        reports=[sample_report()],
    )
