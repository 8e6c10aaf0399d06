"""ONNX Runtime's own quantizers, called as its documentation calls them: defaults, after its pre-processing."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.contender import CALIBRATION_EXAMPLES, Contender, Task
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime


def make(task: Task) -> list[Contender]:
    """Make dynamic and static int8."""
    quantization = import_onnx_runtime("onnxruntime.quantization")
    shape_inference = import_onnx_runtime("onnxruntime.quantization.shape_inference")
    started = time.perf_counter()
    prepared = task.folder / "prepared.onnx"
    shape_inference.quant_pre_process(task.model, prepared)
    shared_s = time.perf_counter() - started

    started = time.perf_counter()
    dynamic = task.folder / "dynamic.onnx"
    quantization.quantize_dynamic(prepared, dynamic)
    dynamic_s = time.perf_counter() - started

    started = time.perf_counter()
    static = task.folder / "static.onnx"
    quantization.quantize_static(prepared, static, _Examples(task))
    static_s = time.perf_counter() - started
    return [
        Contender(
            name="ONNX Runtime quantize_dynamic",
            engine="handlers",
            file=dynamic,
            seconds=shared_s + dynamic_s,
            size=dynamic.stat().st_size,
            note="defaults: convolutions too; an answer depends on its batch; in batches of 32 all the same",
            runtime=RuntimeSpec(kind="onnxruntime", file=dynamic.name, batch_invariant=False, allow_batch_variant=True),
        ),
        Contender(
            name="ONNX Runtime quantize_static",
            engine="handlers",
            file=static,
            seconds=shared_s + static_s,
            size=static.stat().st_size,
            note=f"defaults, {CALIBRATION_EXAMPLES} training examples",
            runtime=RuntimeSpec(kind="onnxruntime", file=static.name),
        ),
    ]


class _Examples:
    """Training examples, as ONNX Runtime asks for them."""

    def __init__(self, task: Task) -> None:
        self._name = task.input_name
        self._images = iter(load_file(task.train)[f"input.{task.input_name}"][:CALIBRATION_EXAMPLES])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        image = next(self._images, None)
        return None if image is None else {self._name: image[None]}
