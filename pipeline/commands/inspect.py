"""Looks into a model file or an archive."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import FileError
from pipeline.inspection.model_archive import ArchiveInspection, inspect_archive
from pipeline.inspection.model_file import MODEL_ENDINGS, ModelInspection, inspect_model, kind_by_ending

Inspection = ModelInspection | ArchiveInspection
_ARCHIVE = ".mar"


def inspect(path: str | Path) -> Inspection:
    """Say what is in an `.onnx`, `.pt` or `.mar` file, without loading, unpickling or running it.

    Args:
        path: path of the file; its ending says what it is.

    Returns:
        A description by kind of file; each has `format` and `to_json()`.

    Raises:
        FileError: it is missing, damaged, or of another kind.
    """
    path = Path(path)
    kind = kind_by_ending(path.name)
    if kind is None and path.suffix != _ARCHIVE:
        endings = ", ".join([*MODEL_ENDINGS, _ARCHIVE])
        raise FileError(f"{path}: expected a file ending in {endings}, found {path.suffix or 'no ending'}")
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(f"{path}: expected a readable file, found: {reason}") from error
    return inspect_archive(path.name, content) if kind is None else inspect_model(kind, path.name, content)
