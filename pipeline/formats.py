"""The formats of a model file, one entry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline._handlers.runtimes import RuntimeKind

FormatName = Literal["torchscript", "onnx"]


@dataclass(frozen=True, kw_only=True)
class FormatFacts:
    """What is true of a format.

    Args:
        file_name: name of a model file, wherever a build or an archive holds one. A model is exactly one file: a format
            of several packs them into one, which its runtime unpacks.
        runtime: the library that runs it.
        portable: whether a file is tied to no version of the library that wrote it.
        is_code: whether a file may do more than compute, so that one that was altered is never loaded.
        quantized_as_file: whether the exported float file is quantized, and not the module in front of its export.
    """

    file_name: str
    runtime: RuntimeKind
    portable: bool
    is_code: bool
    quantized_as_file: bool


FORMATS: dict[FormatName, FormatFacts] = {
    "torchscript": FormatFacts(
        file_name="model.pt", runtime="torchscript", portable=False, is_code=True, quantized_as_file=False
    ),
    "onnx": FormatFacts(
        file_name="model.onnx", runtime="onnxruntime", portable=True, is_code=False, quantized_as_file=True
    ),
}
