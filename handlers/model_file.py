"""Load a model file in the state in which it is served, run it, and describe the processor and the libraries."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray

from .decode import InputSpec
from .description import RuntimeSpec
from .onnx_runtime_import import import_onnx_runtime
from .outputs import join_outputs
from .runtimes import RUNTIMES, RuntimeKind


class Model(Protocol):
    """A function that runs a loaded model file."""

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Run one batch: it takes arrays (B, *shape) by input name, and returns logits or all outputs (B, K)."""


def load_model(folder: Path, runtime: RuntimeSpec, inputs: Sequence[InputSpec]) -> Model:
    """Load a model file in the state in which it is served, verified and timed.

    A TorchScript model sets torch's number of threads in each thread that calls it.

    Args:
        folder: folder with the file.
        runtime: how the file is run.
        inputs: inputs in the order in which the model takes them.
    """
    match runtime.kind:
        case "onnxruntime":
            return _load_onnx(folder / runtime.file, runtime)
        case "torchscript":
            return _load_torchscript(folder / runtime.file, runtime, tuple(inputs))
        case unreachable:
            assert_never(unreachable)


def import_library(kind: RuntimeKind) -> None:
    """Import the library that runs a kind of file, before such a file is loaded."""
    match kind:
        case "onnxruntime":
            import_onnx_runtime()
        case "torchscript":
            importlib.import_module("torch")
        case unreachable:
            assert_never(unreachable)


def run_chunks(model: Model, inputs: Mapping[str, NDArray[Any]], size: int) -> NDArray[np.float32]:
    """Run consecutive chunks of a batch.

    Args:
        model: a loaded model.
        inputs: arrays (N, *shape) by input name.
        size: number of examples per call; the last chunk may be shorter.

    Returns:
        Logits (N, K).
    """
    count = len(next(iter(inputs.values())))
    return np.concatenate(
        [
            model({name: array[start : start + size] for name, array in inputs.items()})
            for start in range(0, count, size)
        ]
    )


def describe_cpu() -> str:
    """Name the processor and those of its instruction sets that decide how sums are rounded."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
                break
    rounding_flags = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return f"{name} ({' '.join(flag for flag in rounding_flags if flag in flags) or 'no vector flags known'})"


def describe_libraries(runtime: RuntimeSpec) -> str:
    """Name the versions of the libraries that compute an answer."""
    names = (RUNTIMES[runtime.kind].library, "numpy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _load_onnx(path: Path, runtime: RuntimeSpec) -> Model:
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    # The spinning threads of an idle session would take time from the other workers on the host.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if runtime.optimization == "all" else levels.ORT_DISABLE_ALL
    )
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    expected = [spec.name for spec in runtime.outputs]
    run: Callable[..., list[NDArray[np.float32]]] = session.run
    if expected and names != expected:
        raise ValueError(f"expected outputs {', '.join(expected)}, found {', '.join(names)}")
    if not expected and len(names) != 1:
        raise ValueError(f"expected one output, found {len(names)}: {', '.join(names)}")

    def call(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return run(names, inputs)[0]

    def call_for_outputs(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return join_outputs(run(names, inputs), runtime.outputs)

    return call_for_outputs if expected else call


def _load_torchscript(path: Path, runtime: RuntimeSpec, inputs: tuple[InputSpec, ...]) -> Model:
    import torch

    torch.set_num_threads(runtime.threads)
    with _quiet_torchscript():
        module = _load(path)
        if runtime.optimization == "all":
            module = _optimize(module, path, inputs)
    names = [spec.name for spec in inputs]
    thread = threading.local()

    def call(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        if not hasattr(thread, "limited"):
            # OpenMP keeps the number of threads for each thread that calls. In a new one it is the number of all cores:
            # sums would be cut into other parts, and be rounded differently.
            torch.set_num_threads(runtime.threads)
            thread.limited = True
        # torch refuses arrays that may not be written to, such as a request's bytes; it warns of them on every call.
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.require(inputs[name], requirements=["C", "W"])) for name in names]
            answers = module(*tensors)
            if runtime.outputs:
                parts = answers if isinstance(answers, tuple) else (answers,)
                return join_outputs([part.numpy() for part in parts], runtime.outputs)
            logits: NDArray[np.float32] = answers.numpy()
        return logits

    return call


def _optimize(module: Any, path: Path, inputs: tuple[InputSpec, ...]) -> Any:
    """Optimize a module for inference; if that fails or the result does not run, return the file as it was saved."""
    import torch

    zeros = [torch.zeros((2, *spec.shape), dtype=getattr(torch, spec.dtype)) for spec in inputs]
    try:
        optimized = torch.jit.optimize_for_inference(module)
        with torch.inference_mode():
            for _ in range(3):  # the first calls compile
                optimized(*zeros)
    except RuntimeError:
        # Some operators do not survive the pass (at times, quantized linear layers); loading the file again undoes it.
        return _load(path)
    return optimized


def _load(path: Path) -> Any:
    import torch

    return torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _quiet_torchscript() -> Iterator[None]:
    """Hide the warning that TorchScript is deprecated, as it is since torch 2.11: the user chose this format."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*`torch\.jit\..*", category=DeprecationWarning)
        yield
