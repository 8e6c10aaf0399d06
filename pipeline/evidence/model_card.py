"""Evidence as a model card in Markdown, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.evidence.document import CandidateEvidence, Evidence, Subject


def model_card(evidence: Evidence, subject: Subject) -> str:
    """The card; it says only what the evidence does, and what a reader must add.

    Args:
        evidence: of the archive.
        subject: the archive as a file.
    """
    return "\n".join(_lines(evidence, subject)) + "\n"


def _lines(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield f"# {evidence.model['name']} {evidence.model['version']}"
    yield ""
    yield f"`{subject.file}`, digest `{subject.digest}`, SHA-256 of the file `{subject.sha256}`."
    yield ""
    yield from _model(evidence, subject)
    yield from _data(evidence)
    yield from _results(evidence, subject)
    yield from _making(evidence)
    yield "## What this card cannot know"
    yield ""
    yield "Intended use, groups of people the data stands for, and harm that a wrong answer does: add them."


def _model(evidence: Evidence, subject: Subject) -> Iterator[str]:
    packed = evidence.packed
    architecture = evidence.recipe["model"]["name"] or evidence.recipe["model"]["factory"]
    yield "## Model"
    yield ""
    yield f"- Task: {evidence.task} into {len(evidence.labels)} labels: {', '.join(map(_escape, evidence.labels))}"
    yield f"- Input: {'; '.join(subject.inputs)}; preprocessing is inside the graph"
    yield f"- Network: {architecture}, {evidence.parameters:,} parameters"
    size = f"{packed.size:,} bytes"
    yield f"- Packed candidate: `{packed.name}` ({packed.format}, {packed.precision}, {size}), {evidence.why}"
    for one in packed.passes:
        yield f"- {one['kind']}: {one['detail']}"
    yield ""


def _data(evidence: Evidence) -> Iterator[str]:
    data = evidence.data
    yield "## Data"
    yield ""
    yield f"{_escape(data.name)}; trained on train, selected on validation, reported on test."
    yield ""
    yield "| split | examples | SHA-256 of its values |"
    yield "|---|--:|---|"
    for name, size in data.sizes.items():
        yield f"| {name} | {size:,} | `{data.digests[name]}` |"
    yield ""
    for line in data.gaps:
        yield f"- {_escape(line)}"
    if data.gaps:
        yield ""


def _results(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield "## Quality"
    yield ""
    yield "Accuracy with its 95 % interval; drop against the float network likewise."
    yield ""
    yield "| split | examples | accuracy | float | drop |"
    yield "|---|--:|---|---|---|"
    for name, quality in (("validation", evidence.metrics.validation), ("test", evidence.metrics.test)):
        yield f"| {name} | {quality['examples']:,} | {_quality(quality)} |"
    yield ""
    yield "## Is it the same model?"
    yield ""
    yield "Largest difference of a logit from what the file must reproduce, and decisions on validation:"
    yield ""
    yield "| candidate | parity | limit | held against | accuracy | drop (bound) | verdict |"
    yield "|---|--:|--:|---|--:|--:|---|"
    for row in evidence.candidates:
        yield _candidate(row, selected=row.name == evidence.candidate)
    for refused in evidence.unproven:
        yield f"| {refused.name} | - | - | - | - | - | {refused.verdict} |"
    yield ""
    if evidence.unproven:
        for refused in evidence.unproven:
            yield f"- `{refused.name}` {refused.verdict}: {_escape(refused.reason)}"
        yield ""
    yield f"Check it: `pipeline verify {subject.file} --digest {subject.digest}`."
    yield ""


def _making(evidence: Evidence) -> Iterator[str]:
    code = evidence.code
    yield "## How it was made"
    yield ""
    yield f"{code.name} {code.version} (source `{code.source_sha256}`), Python {code.python}, seeds {_seeds(evidence)}."
    yield f"Libraries: {', '.join(f'{name} {version}' for name, version in code.libraries.items())}."
    yield ""
    yield "```json"
    yield json.dumps(evidence.recipe, indent=1)
    yield "```"
    yield ""


def _candidate(row: CandidateEvidence, *, selected: bool) -> str:
    name = f"**{row.name}**" if selected else row.name
    drop = f"{_points(row.quality['drop'])} ({_points(row.quality['drop_upper'])})" if row.lossy else "-"
    return (
        f"| {name} | {row.parity['max_absolute']:.1e} | {row.parity['limit']:.0e} | {row.parity['reference']} | "
        f"{row.quality['accuracy']:.4f} | {drop} | {row.verdict} |"
    )


def _quality(quality: dict[str, Any]) -> str:
    return (
        f"{quality['accuracy']:.4f} ({quality['accuracy_lower']:.4f} to {quality['accuracy_upper']:.4f}) | "
        f"{quality['float_accuracy']:.4f} | {_points(quality['drop'])} points "
        f"({_points(quality['interval_lower'])} to {_points(quality['interval_upper'])})"
    )


def _seeds(evidence: Evidence) -> str:
    return ", ".join(f"{name} {seed}" for name, seed in evidence.seeds.items())


def _points(fraction: float) -> str:
    return f"{fraction * 100:+.2f}"


def _escape(text: str) -> str:
    """A label or name is the user's text, and no markup."""
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#" else one for one in " ".join(text.split()))
