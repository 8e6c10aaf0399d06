"""Looks into a model file or an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.errors import FileError
from pipeline.inspection.model_archive import ArchiveInspection, inspect_archive
from pipeline.inspection.onnx_model import OnnxInspection, inspect_onnx
from pipeline.inspection.torchscript_archive import TorchScriptInspection, inspect_torchscript

Inspection = OnnxInspection | TorchScriptInspection | ArchiveInspection


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
    readers: dict[str, Callable[[str, bytes], Inspection]] = {
        ".onnx": inspect_onnx,
        ".pt": inspect_torchscript,
        ".mar": inspect_archive,
    }
    reader = readers.get(path.suffix)
    if reader is None:
        raise FileError(f"{path}: expected a file ending in {', '.join(readers)}, found {path.suffix or 'no ending'}")
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(f"{path}: expected a readable file, found: {reason}") from error
    return reader(path.name, content)
