"""The libraries that run a model file, one entry each. This module imports only the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuntimeKind = Literal["onnxruntime", "torchscript"]
# Level of a library's graph optimizer, which runs after loading.
Optimization = Literal["all", "none"]


@dataclass(frozen=True, kw_only=True)
class RuntimeFacts:
    """The facts about a runtime.

    Args:
        library: package that computes the answers.
        ending: ending of the model files that the runtime loads; it decides by the ending how to load a file.
        settled_call: number of the first call of a shape that runs the same code as every later call.
        platform: name of such a file in the Open Inference Protocol, which has a list of them.
    """

    library: str
    ending: str
    settled_call: int
    platform: str


RUNTIMES: dict[RuntimeKind, RuntimeFacts] = {
    # ONNX Runtime optimizes and compiles everything when it loads a file.
    "onnxruntime": RuntimeFacts(library="onnxruntime", ending=".onnx", settled_call=1, platform="onnx_onnxv1"),
    # TorchScript's executor records shapes on the first call, compiles on the second, and runs the result from the
    # third.
    "torchscript": RuntimeFacts(library="torch", ending=".pt", settled_call=3, platform="pytorch_torchscript"),
}
