"""Evidence as a CycloneDX 1.6 ML-BOM: https://cyclonedx.org/docs/1.6/json/.

Written as plain JSON, because cyclonedx-python-lib has no model card (seen in 11.12); the tests hold it against the
schema that library ships.
"""

from __future__ import annotations

import uuid
from typing import Any

from pipeline._handlers.task_answers import ANSWERS
from pipeline.archive.evidence.document import Evidence, SplitEvidence, Subject, package_url

_UNLABELLED = (
    "The data have no labels: what was proven is agreement with the float network's decisions, not how often decisions "
    "are right."
)


def cyclonedx_bom(evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """The bill of materials, as JSON values; the same archive gives the same one, so there is no time in it.

    Args:
        evidence: of the archive.
        subject: the archive as a file.
    """
    code = evidence.code
    model = f"model:{subject.digest}"
    libraries = [_library(name, version) for name, version in code.libraries.items()]
    splits = [_split(evidence, name, digest) for name, digest in evidence.data.digests.items()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(subject.sha256[:32], version=4)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": code.name,
                        "version": code.version,
                        "properties": [_property("source_sha256", code.source_sha256)],
                    }
                ]
            },
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": evidence.model["name"],
                "version": evidence.model["version"],
                "hashes": [_hash(subject.sha256)],
                "modelCard": _model_card(evidence, subject),
                "properties": [
                    _property("archive", subject.file),
                    _property("archive_digest", subject.digest),
                    _property("candidate", evidence.candidate),
                    _property("candidate_identity", evidence.packed.identity),
                    _property("float_weights_sha256", evidence.weights_sha256),
                ],
            },
        },
        "components": [*libraries, *splits, *(_member(name, digest) for name, digest in evidence.members.items())],
        "dependencies": [{"ref": model, "dependsOn": [one["bom-ref"] for one in (*libraries, *splits)]}],
    }


def _model_card(evidence: Evidence, subject: Subject) -> dict[str, Any]:
    packed = evidence.packed
    # Nothing here tells how a network came by its weights that no label was given for.
    approach = {"approach": {"type": "supervised"}} if evidence.labelled else {}
    limits = {} if evidence.labelled else {"considerations": {"technicalLimitations": [_UNLABELLED]}}
    return {
        "modelParameters": {
            **approach,
            "task": evidence.task,
            "modelArchitecture": f"{evidence.architecture}, "
            f"{evidence.parameters} parameters, {packed.format}, {packed.precision}",
            "datasets": [{"ref": f"data:{name}"} for name in evidence.data.digests],
            "inputs": [{"format": text} for text in subject.inputs],
            "outputs": [{"format": ANSWERS[evidence.task].outputs(evidence.labels)}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                metric
                for name, quality in (("validation", evidence.metrics.validation), ("test", evidence.metrics.test))
                for metric in (*_metrics(name, quality, labelled=evidence.labelled), *_figures(name, quality))
            ]
        },
        **limits,
        "properties": [
            _property("parity_reference", packed.parity.reference),
            _property("parity_max_absolute", packed.parity.max_absolute),
            _property("parity_limit", packed.parity.limit),
            *(_property("pass", f"{step.kind}: {step.detail}") for step in packed.passes),
        ],
    }


def _metrics(split: str, quality: SplitEvidence, *, labelled: bool) -> list[dict[str, Any]]:
    score = _metric(split, quality.metric, quality.accuracy, quality.accuracy_lower, quality.accuracy_upper)
    if not labelled:
        return [score]  # what is not agreement is the drop
    drop = _metric(
        split, f"{quality.metric} drop against float", quality.drop, quality.interval_lower, quality.interval_upper
    )
    return [score, drop]


def _figures(split: str, quality: SplitEvidence) -> list[dict[str, Any]]:
    """List the figures of a whole split, which have no interval."""
    return [
        {
            "type": f"{figure.name}, {figure.unit}" if figure.unit else figure.name,
            "value": repr(figure.value),
            "slice": split,
        }
        for figure in quality.figures
    ]


def _metric(split: str, name: str, value: float, lower: float, upper: float) -> dict[str, Any]:
    return {
        "type": name,
        "value": repr(value),
        "slice": split,
        "confidenceInterval": {"lowerBound": repr(lower), "upperBound": repr(upper)},
    }


def _library(name: str, version: str) -> dict[str, Any]:
    purl = package_url(name, version)
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _split(evidence: Evidence, name: str, digest: str) -> dict[str, Any]:
    data = evidence.data
    return {
        "type": "data",
        "bom-ref": f"data:{name}",
        "name": f"{data.name}, {name} split",
        "hashes": [_hash(digest)],
        "data": [{"type": "dataset", "name": data.name, "description": f"{data.sizes[name]} examples"}],
    }


def _member(name: str, digest: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"member:{name}", "name": name, "hashes": [_hash(digest)]}


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _property(name: str, value: object) -> dict[str, str]:
    return {"name": f"pipeline:{name}", "value": str(value)}
