"""Tell an archive's evidence, and sign an archive; both only after all of its bytes were checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, assert_never

from pipeline._handlers.decode import InputSpec
from pipeline.archive.evidence.cyclonedx import cyclonedx_bom
from pipeline.archive.evidence.document import Subject, read_evidence
from pipeline.archive.evidence.model_card import model_card
from pipeline.archive.evidence.signature import sign_file
from pipeline.archive.evidence.slsa import slsa_statement
from pipeline.archive.mar import read_archive
from pipeline.archive.releases import made_elsewhere
from pipeline.errors import FileError

Form = Literal["json", "slsa", "cyclonedx", "markdown"]


def tell(path: Path, form: Form) -> dict[str, Any] | str:
    """An archive's evidence in one of its forms; the same archive gives the same text.

    Args:
        path: a `.mar` made by `pipeline build`.
        form: `json` as it is, `slsa` an in-toto statement, `cyclonedx` an ML-BOM, `markdown` a model card.

    Returns:
        JSON values, or text.

    Raises:
        FileError: a byte was altered, or it holds no evidence.
    """
    archive = read_archive(path)
    evidence = read_evidence(str(path), archive.evidence)
    subject = Subject(
        file=path.name,
        sha256=archive.sha256,
        digest=archive.digest,
        inputs=tuple(_input(one) for one in archive.serving.inputs),
    )
    try:
        match form:
            case "json":
                return evidence.model_dump(mode="json")
            case "slsa":
                return slsa_statement(evidence, subject)
            case "cyclonedx":
                return cyclonedx_bom(evidence, subject)
            case "markdown":
                return model_card(evidence, subject)
            case unreachable:
                assert_never(unreachable)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Whoever made the archive wrote the evidence: a figure may be missing, or be none.
        found = f"{type(error).__name__}: {error}{made_elsewhere(archive.evidence)}"
        raise FileError(f"{path}: evidence.json: expected what `pipeline build` writes, found {found}") from error


def sign_archive(path: Path, private_key: Path) -> Path:
    """Sign an archive whose bytes are in order.

    Args:
        path: a `.mar` made by `pipeline build`.
        private_key: elliptic-curve private key, PEM without a password.

    Returns:
        Where the signature lies.

    Raises:
        FileError: a byte was altered, or the key cannot be used.
        UsageError: model-signing is not installed.
    """
    read_archive(path)
    return sign_file(path, private_key)


def _input(spec: InputSpec) -> str:
    shape = ", ".join(str(size) for size in spec.shape)
    missing = ", NaN for missing ones" if spec.missing else ""
    return f"{spec.name}: {spec.dtype} of shape ({shape}), values from {spec.low:g} to {spec.high:g}{missing}"
