"""`pipeline.evidence`: where an archive comes from and what was measured, after all of its bytes were checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never, overload

from pipeline.archive.evidence.cyclonedx import cyclonedx_bom
from pipeline.archive.evidence.document import Subject, read_evidence
from pipeline.archive.evidence.forms import DocumentForm, Form
from pipeline.archive.evidence.model_card import model_card
from pipeline.archive.evidence.slsa import slsa_statement
from pipeline.archive.mar import read_archive
from pipeline.archive.releases import made_elsewhere
from pipeline.errors import FileError

if TYPE_CHECKING:
    from pipeline._handlers.decode import InputSpec


@overload
def evidence(archive: Path | str, *, form: DocumentForm = "json") -> dict[str, Any]: ...


@overload
def evidence(archive: Path | str, *, form: Literal["markdown"]) -> str: ...


@overload
def evidence(archive: Path | str, *, form: Form) -> dict[str, Any] | str: ...


def evidence(archive: Path | str, *, form: Form = "json") -> dict[str, Any] | str:
    """Tell an archive's evidence in one of its forms; the same archive gives the same text.

    Args:
        archive: a `.mar` made by `pipeline build`.
        form: `json` as it is, `slsa` an in-toto statement, `cyclonedx` an ML-BOM, `markdown` a model card.

    Returns:
        JSON values; text for `markdown`.

    Raises:
        FileError: a byte was altered, or it holds no evidence.
    """
    path = Path(archive)
    packed = read_archive(path)
    document = read_evidence(str(path), packed.evidence)
    subject = Subject(
        file=path.name,
        sha256=packed.sha256,
        digest=packed.digest,
        inputs=tuple(_input(spec) for spec in packed.serving.inputs),
    )
    try:
        match form:
            case "json":
                return document.model_dump(mode="json")
            case "slsa":
                return slsa_statement(document, subject)
            case "cyclonedx":
                return cyclonedx_bom(document, subject)
            case "markdown":
                return model_card(document, subject)
            case unreachable:
                assert_never(unreachable)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Whoever made the archive wrote the evidence: a figure may be missing, or be none.
        fault = f"{type(error).__name__}: {error}{made_elsewhere(packed.evidence)}"
        raise FileError(f"{path}: evidence.json: expected what `pipeline build` writes, found {fault}") from error


def _input(spec: InputSpec) -> str:
    from pipeline._handlers.columns import columns_in_words

    shape = ", ".join(str(size) for size in spec.shape)
    missing = ", NaN for missing ones" if spec.missing else ""
    if spec.columns:
        return f"{spec.name}: a row of {len(spec.columns)} columns{missing}: {columns_in_words(spec.columns)}"
    return f"{spec.name}: {spec.dtype} of shape ({shape}), values from {spec.low:g} to {spec.high:g}{missing}"
