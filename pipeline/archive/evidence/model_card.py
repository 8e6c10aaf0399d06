"""Evidence as a model card in Markdown, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from pipeline.archive.evidence.document import CandidateEvidence, Evidence, SplitEvidence, Subject
from pipeline.recipe.task import TaskName
from pipeline.visible import visible

# What follows a task's name in a card.
_OUTPUTS: dict[TaskName, str] = {
    "classification": "into {} label",
    "multi-label": "with {} label",
    "regression": "of {} value",
}


def model_card(evidence: Evidence, subject: Subject) -> str:
    """Return the card; it says only what the evidence does, and what a reader must add.

    Args:
        evidence: evidence of the archive.
        subject: the archive as a file.
    """
    return "\n".join(_lines(evidence, subject)) + "\n"


def _lines(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield f"# {_escape(evidence.model['name'])} {_escape(evidence.model['version'])}"
    yield ""
    yield f"{_code(subject.file)}, digest `{subject.digest}`, SHA-256 of the file `{subject.sha256}`."
    yield ""
    yield from _model(evidence, subject)
    yield from _data(evidence)
    yield from _results(evidence, subject)
    yield from _making(evidence)
    yield "## What this card cannot know"
    yield ""
    if not evidence.labelled:
        yield "How often the float network is right, and so the packed one: the data have no labels."
    yield "Intended use, groups of people the data stands for, and harm that a wrong answer does: add them."


def _model(evidence: Evidence, subject: Subject) -> Iterator[str]:
    packed = evidence.packed
    architecture = _escape(evidence.architecture)
    yield "## Model"
    yield ""
    yield f"- Task: {_task(evidence)}: {', '.join(map(_escape, evidence.labels))}"
    yield f"- Input: {'; '.join(map(_escape, subject.inputs))}; preprocessing is inside the graph"
    yield f"- Network: {architecture}, {evidence.parameters:,} parameters"
    size = f"{packed.size:,} bytes"
    how = f"{_escape(packed.format)}, {_escape(packed.precision)}, {size}"
    yield f"- Packed candidate: {_code(packed.name)} ({how}), {_escape(evidence.why)}"
    for step in packed.passes:
        yield f"- {_escape(step.kind)}: {_escape(step.detail)}"
    yield ""


def _data(evidence: Evidence) -> Iterator[str]:
    data = evidence.data
    yield "## Data"
    yield ""
    if evidence.labelled:
        yield f"{_escape(data.name)}; trained on train, selected on validation, reported on test."
    else:
        yield (
            f"{_escape(data.name)}, without labels; fine-tuned and calibrated on train, selected on validation, "
            "reported on test."
        )
    yield ""
    yield "| split | examples | SHA-256 of its values |"
    yield "|---|--:|---|"
    for name, size in data.sizes.items():
        yield f"| {_escape(name)} | {size:,} | {_code(data.digests[name])} |"
    yield ""
    for line in data.gaps:
        yield f"- {_escape(line)}"
    if data.gaps:
        yield ""


def _results(evidence: Evidence, subject: Subject) -> Iterator[str]:
    yield "## Quality"
    yield ""
    metric = _escape(evidence.metrics.validation.metric)
    splits = (("validation", evidence.metrics.validation), ("test", evidence.metrics.test))
    if evidence.labelled:
        yield f"{metric.capitalize()} with its 95 % interval; drop against the float network likewise."
        yield ""
        yield f"| split | examples | {metric} | float | drop |"
        yield "|---|--:|---|---|---|"
        for name, quality in splits:
            yield f"| {name} | {quality.examples:,} | {_quality(quality)} |"
    else:
        yield (
            "The data have no labels. What was proven is agreement with the float network's decisions, with its 95 % "
            "interval, and not how often decisions are right."
        )
        yield ""
        yield f"| split | examples | {metric} |"
        yield "|---|--:|---|"
        for name, quality in splits:
            yield f"| {name} | {quality.examples:,} | {_score(quality)} |"
    yield ""
    yield from _figures(evidence)
    yield "## Is it the same model?"
    yield ""
    yield (
        "Largest difference of a logit from what the file must reproduce, and decisions on validation; a drop stands "
        "with its one-sided 95 % bound for that candidate alone, while its verdict rests on the larger bound that "
        "accounts for all candidates compared:"
    )
    yield ""
    yield f"| candidate | parity | limit | held against | {metric} | drop (bound) | verdict |"
    yield "|---|--:|--:|---|--:|--:|---|"
    for row in evidence.candidates:
        yield _candidate(row, selected=row.name == evidence.candidate)
    for refused in evidence.unproven:
        yield f"| {_escape(refused.name)} | - | - | - | - | - | {_escape(refused.verdict)} |"
    yield ""
    if evidence.unproven:
        for refused in evidence.unproven:
            yield f"- {_code(refused.name)} {_escape(refused.verdict)}: {_escape(refused.reason)}"
        yield ""
    yield f"Check it: {_code(f'pipeline verify {shlex.quote(subject.file)} --digest {subject.digest}')}."
    yield ""


def _making(evidence: Evidence) -> Iterator[str]:
    code = evidence.code
    yield "## How it was made"
    yield ""
    source = f"{_escape(code.name)} {_escape(code.version)} (source {_code(code.source_sha256)})"
    yield f"{source}, Python {_escape(code.python)}, seeds {_seeds(evidence)}."
    libraries = ", ".join(f"{_escape(name)} {_escape(version)}" for name, version in code.libraries.items())
    yield f"Libraries: {libraries}."
    yield ""
    yield "```json"
    yield json.dumps(evidence.recipe, indent=1)
    yield "```"
    yield ""


def _task(evidence: Evidence) -> str:
    """Write what the network is for, and how many outputs it has."""
    count = len(evidence.labels)
    outputs = _OUTPUTS.get(evidence.task, "with {} output").format(count)
    return f"{_escape(evidence.task)} {outputs}{'' if count == 1 else 's'}"


def _figures(evidence: Evidence) -> Iterator[str]:
    """Yield a row for each figure of a whole split; there are none in classification."""
    splits = (("validation", evidence.metrics.validation), ("test", evidence.metrics.test))
    rows = [(name, figure) for name, quality in splits for figure in quality.figures]
    if not rows:
        return
    yield "Figures of the whole split, which no limit was held against:"
    yield ""
    yield "| split | figure | packed | float |"
    yield "|---|---|--:|--:|"
    for name, figure in rows:
        unit = f" {_escape(figure.unit)}" if figure.unit else ""
        of_float = f"{figure.float_value:.4g}{unit}" if evidence.labelled else "-"
        yield f"| {name} | {_escape(figure.name)} | {figure.value:.4g}{unit} | {of_float} |"
    yield ""


def _candidate(row: CandidateEvidence, *, selected: bool) -> str:
    name = f"**{_escape(row.name)}**" if selected else _escape(row.name)
    drop = f"{_points(row.quality.drop)} ({_points(row.quality.drop_upper)})" if row.lossy else "-"
    return (
        f"| {name} | {row.parity.max_absolute:.1e} | {row.parity.limit:.0e} | "
        f"{_escape(row.parity.reference)} | "
        f"{row.quality.accuracy:.4f} | {drop} | {_escape(row.verdict)} |"
    )


def _quality(quality: SplitEvidence) -> str:
    return (
        f"{_score(quality)} | {quality.float_accuracy:.4f} | {_points(quality.drop)} points "
        f"({_points(quality.interval_lower)} to {_points(quality.interval_upper)})"
    )


def _score(quality: SplitEvidence) -> str:
    return f"{quality.accuracy:.4f} ({quality.accuracy_lower:.4f} to {quality.accuracy_upper:.4f})"


def _seeds(evidence: Evidence) -> str:
    return ", ".join(f"{_escape(name)} {seed}" for name, seed in evidence.seeds.items())


def _points(fraction: float) -> str:
    return f"{fraction * 100:+.2f}"


def _escape(text: str) -> str:
    """Escape the evidence's text: it is somebody's, and must not act as markup: links, pictures, tags, cells."""
    return "".join(
        f"\\{letter}" if letter in r"\`*_[]<>|#!&~" else letter for letter in visible(" ".join(text.split()))
    )


def _code(text: str) -> str:
    """Put text in a code span; a backtick in it would end the span, and a bar would end a cell of a table."""
    return "`" + visible(text).replace("`", "'").replace("|", "/") + "`"
