"""Describes the content of a model file of any format."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import assert_never

from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline.inspection.onnx_model import OnnxInspection, inspect_onnx
from pipeline.inspection.torchscript_archive import TorchScriptInspection, inspect_torchscript

ModelInspection = OnnxInspection | TorchScriptInspection
MODEL_ENDINGS = tuple(facts.ending for facts in RUNTIMES.values())


def kind_by_ending(name: str) -> RuntimeKind | None:
    """The library that would run a file, by the ending of its name; None if it is not a model file."""
    ending = PurePosixPath(name).suffix
    return next((kind for kind, facts in RUNTIMES.items() if facts.ending == ending), None)


def inspect_model(kind: RuntimeKind, name: str, content: bytes) -> ModelInspection:
    """Describe the content of a model file, without loading, unpickling or running it.

    Args:
        kind: library that would run it.
        name: name of the file, for messages.
        content: bytes of the file.

    Raises:
        FileError: the bytes are not a whole file of that kind.
    """
    match kind:
        case "onnxruntime":
            return inspect_onnx(name, content)
        case "torchscript":
            return inspect_torchscript(name, content)
        case unreachable:
            assert_never(unreachable)
