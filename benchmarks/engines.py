"""The engines of other tools, each at its fairest: one thread, one shape per batch size, its input allocated before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from numpy.typing import NDArray

from benchmarks.contender import Engine

Answer = Callable[[], Any]
# A function takes raw pixels (B, *shape) and returns a call. The call answers them as often as it is made, with logits
# (B, K) as the engine holds them.
PrepareBatch = Callable[[NDArray[Any]], Answer]


def load_engine(engine: Engine, file: Path) -> PrepareBatch:
    """Load a contender that ONNX Runtime does not run.

    Args:
        engine: name of what runs it.
        file: path of the model file, or of the run directory for the float network.
    """
    match engine:
        case "openvino":
            return partial(_prepare_openvino, _read_openvino(file), {})
        case "openvino-f32":
            return partial(_prepare_openvino, _read_openvino(file), {"INFERENCE_PRECISION_HINT": "f32"})
        case "inductor":
            return partial(_prepare_inductor, _float_module(file), "default")
        case "inductor-autotuned":
            return partial(_prepare_inductor, _float_module(file), "max-autotune")
        case "inductor-exported":
            return partial(_prepare_inductor, _exported(file), "default")
        case "handlers":
            raise ValueError("expected an engine of another tool, found handlers, which handlers.model_file runs")
        case unreachable:
            assert_never(unreachable)


def engine_mode(engine: Engine) -> AbstractContextManager[object]:
    """Enter what an engine is prepared and called in: for torch, inference mode, entered once, as eager is timed."""
    if not engine.startswith("inductor"):
        return nullcontext()
    import torch

    return torch.inference_mode()


def _read_openvino(file: Path) -> Any:
    import openvino

    return openvino.Core().read_model(file)


def _prepare_openvino(model: Any, precision: dict[str, str], batch: NDArray[Any]) -> Answer:
    """Compile for a fixed shape, as OpenVINO is slower on a free batch axis; the input's memory is shared."""
    import openvino

    fixed = model.clone()
    fixed.reshape(list(batch.shape))
    one_thread = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(fixed, "CPU", {**one_thread, **precision}).create_infer_request()
    request.set_input_tensor(openvino.Tensor(batch, shared_memory=True))
    logits = request.get_output_tensor()

    def answer() -> Any:
        request.infer()
        return logits.data

    return answer


def _float_module(run_dir: Path) -> Any:
    from benchmarks.network import float_module

    return float_module(run_dir)


def _exported(file: Path) -> Any:
    import torch
    import torchao  # noqa: F401 - registers the operators of a quantized program

    return torch.export.load(file).module()


def _prepare_inductor(module: Any, mode: str, batch: NDArray[Any]) -> Answer:
    """Freeze the weights into the code, which is made for this shape alone, for a single thread."""
    import torch
    from torch._inductor import config

    torch.set_num_threads(1)
    config.freezing = True
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module, mode=mode, dynamic=False)
    tensor = torch.from_numpy(batch)

    compiled(tensor)  # this compiles now, not on the first timed call
    return lambda: compiled(tensor)
