"""The libraries that run a model file, one entry each; the standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuntimeKind = Literal["onnxruntime", "torchscript"]
# Of a library's graph optimizer, applied after loading.
Optimization = Literal["all", "none"]


@dataclass(frozen=True, kw_only=True)
class RuntimeFacts:
    """What is true of a runtime.

    Args:
        library: the package that computes the answers.
        ending: of the model files that it loads; a runtime goes by it.
        settled_call: which call of a shape is the first to run what every later one runs.
    """

    library: str
    ending: str
    settled_call: int


RUNTIMES: dict[RuntimeKind, RuntimeFacts] = {
    # ONNX Runtime does everything when it loads a file.
    "onnxruntime": RuntimeFacts(library="onnxruntime", ending=".onnx", settled_call=1),
    # TorchScript's executor records shapes on the first call, compiles on the second and runs that from the third on.
    "torchscript": RuntimeFacts(library="torch", ending=".pt", settled_call=3),
}
