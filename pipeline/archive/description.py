"""Checks that an archive's `serving.json` says of the model what its data and its judgement say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline.archive.mar import Archive
from pipeline.errors import ProofError


def require_description(
    archive: Archive, *, inputs: Sequence[Mapping[str, Any]], labels: Sequence[str], source: str
) -> None:
    """Stop where answers would be named wrongly, or pictures decoded otherwise than the data were.

    Golden answers are logits of arrays: they cannot show either.

    Args:
        archive: archive that was read and checked.
        inputs: what one example consists of, each as JSON values.
        labels: labels, one per logit.
        source: name of the document that says so, for the message.

    Raises:
        ProofError: `serving.json` says otherwise; the class, or the input and its field, is named.
    """
    serving = archive.serving
    where = f"{archive.path}: candidate {serving.candidate}: serving.json"
    for index, (expected_label, label) in enumerate(zip_longest(labels, serving.labels)):
        if expected_label != label:
            raise ProofError(
                f"{where}: labels: expected {_text(expected_label)} for class {index}, as {source} says, found "
                f"{_text(label)}; answers would be named wrongly: build the archive again"
            )
    described = [spec.to_json() for spec in serving.inputs]
    nothing: Mapping[str, Any] = {}
    for expected, packed in zip_longest(map(_complete, inputs), described, fillvalue=nothing):
        for field in {**expected, **packed}:
            if expected.get(field) != packed.get(field):
                raise ProofError(
                    f"{where}: input {packed.get('name', expected.get('name'))}: {field}: expected "
                    f"{_text(expected.get(field))}, as {source} says, found {_text(packed.get(field))}; the model "
                    "would be given something else than it was judged on: build the archive again"
                )


def require_model(archive: Archive, *, candidate: str, sha256: str, source: str) -> None:
    """Stop where the packed model file is another than the one that was judged.

    Args:
        archive: archive that was read and checked.
        candidate: name of the candidate that was selected.
        sha256: of its model file.
        source: name of the document that says so, for the message.

    Raises:
        ProofError: it is another candidate, or another file.
    """
    serving = archive.serving
    file = serving.runtime.file
    if serving.candidate != candidate:
        raise ProofError(
            f"{archive.path}: serving.json: expected candidate {candidate}, as {source} says, found "
            f"{serving.candidate}; build the archive again"
        )
    if serving.files[file] != sha256:
        raise ProofError(
            f"{archive.path}: {file}: expected the file of candidate {candidate} that was judged (SHA-256 {sha256}, as "
            f"{source} says), found {serving.files[file]}; build the archive again"
        )


def require_activation(archive: Archive, *, activation: str, source: str) -> None:
    """Stop where the outputs would be served as something else than they were judged as.

    Golden answers are the outputs themselves: they cannot show it.

    Args:
        archive: archive that was read and checked.
        activation: what the outputs are already.
        source: name of the document that says so, for the message.

    Raises:
        ProofError: `serving.json` says otherwise.
    """
    if archive.serving.activation != activation:
        raise ProofError(
            f"{archive.path}: serving.json: activation: expected {activation}, as {source} says, found "
            f"{archive.serving.activation}; its probabilities would be wrong: build the archive again"
        )


def require_outputs(archive: Archive, *, outputs: Sequence[OutputSpec], source: str) -> None:
    """Stop where values would be given to a client under the name or in the shape of another output.

    Args:
        archive: archive that was read and checked.
        outputs: the model's outputs, in order; empty for one output with a value for each label.
        source: name of the document that says so, for the message.

    Raises:
        ProofError: `serving.json` says otherwise; the output is named.
    """
    for expected, packed in zip_longest(outputs, archive.serving.outputs):
        if expected != packed:
            shown = ["none" if spec is None else f"{spec.name} {list(spec.shape)}" for spec in (expected, packed)]
            raise ProofError(
                f"{archive.path}: serving.json: outputs: expected {shown[0]}, as {source} says, found {shown[1]}; "
                "answers would be named wrongly: build the archive again"
            )


def require_task(archive: Archive, *, task: str, settings: Mapping[str, Any], source: str) -> None:
    """Stop where a client would be told something else than was judged, such as labels above another threshold.

    Golden answers are the outputs themselves: they cannot show it.

    Args:
        archive: archive that was read and checked.
        task: name of the task.
        settings: settings of the task, as JSON values.
        source: name of the document that says so, for the message.

    Raises:
        ProofError: `serving.json` says otherwise; the setting is named.
    """
    serving = archive.serving
    expected, packed = {"task": task, **settings}, {"task": serving.task, **serving.task_settings}
    for name in {**expected, **packed}:
        if expected.get(name) != packed.get(name):
            raise ProofError(
                f"{archive.path}: serving.json: {name}: expected {_text(expected.get(name))}, as {source} says, found "
                f"{_text(packed.get(name))}; clients would be told otherwise than was judged: build the archive again"
            )


def _complete(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an input with the fields that an earlier release did not know yet, at their defaults."""
    try:
        return InputSpec.from_json(described).to_json()
    except ValueError:  # the comparison names the field
        return described


def _text(value: object) -> str:
    return "none" if value is None else str(value)
