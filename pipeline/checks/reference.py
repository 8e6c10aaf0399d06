"""What a candidate's answers are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import Model, load_model
from pipeline.checks.float64 import Exact, exact_answers
from pipeline.engine.threads import one_thread


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A source of right answers.

    Args:
        name: for people, in messages and tables.
        answer: maps one batch, arrays (B, *shape) by input name, to logits (B, K).
        exact: the same in float64, for what float32 does to the answers; None where that is not known.
        same_file: whether it is the candidate's own file with graph optimizations off.
        module: the torch module behind it, if there is one.
        file: the ONNX file behind it, if it is another than the candidate's.
    """

    name: str
    answer: Model
    exact: Exact | None = None
    same_file: bool = False
    module: nn.Module | None = None
    file: Path | None = None


def module_reference(module: nn.Module, inputs: Sequence[InputSpec], *, exact: bool = True) -> Reference:
    """The torch module that was exported, run eagerly on one thread.

    Args:
        module: raw inputs positional in, logits (B, K) out; in evaluation mode.
        inputs: in the order the module takes them.
        exact: whether its answers in float64 say what rounding does to them: not for a module that quantizes.
    """
    names = [one.name for one in inputs]

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        with torch.inference_mode(), one_thread():
            # torch refuses arrays that may not be written to; copies are made of those only
            tensors = [torch.from_numpy(np.require(inputs[name], requirements=["C", "W"])) for name in names]
            logits: NDArray[np.float32] = module(*tensors).numpy()
        return logits

    return Reference(
        name="its torch module",
        answer=answer,
        exact=exact_answers(module, inputs) if exact else None,
        module=module,
    )


def unoptimized_reference(file: Path, inputs: Sequence[InputSpec]) -> Reference:
    """A quantized ONNX file run as it is written, without graph optimizations: it has no torch source.

    Args:
        file: the ONNX file.
        inputs: in the order the model takes them.
    """
    runtime = RuntimeSpec(kind="onnxruntime", file=file.name, optimization="none")
    answer = load_model(file.parent, runtime, inputs)
    return Reference(name="the same file with graph optimizations off", answer=answer, same_file=True)


def remade_reference(file: Path, inputs: Sequence[InputSpec]) -> Reference:
    """A quantized ONNX file made once more, for one that was altered since: run as it is written.

    Args:
        file: the file made once more.
        inputs: in the order the model takes them.
    """
    answer = unoptimized_reference(file, inputs).answer
    return Reference(name="the file that the build made", answer=answer, file=file)


def evaluator(file: Path) -> Model:
    """An ONNX file run by onnx's reference evaluator: the operators as their specification defines them, slowly.

    https://onnx.ai/onnx/api/reference.html

    Args:
        file: the ONNX file.

    Raises:
        NotImplementedError: it knows no implementation of an operator, such as a runtime's own.
    """
    session = ReferenceEvaluator(str(file))

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        # Inputs on which the runtimes answer infinity or NaN make numpy warn; the comparison says it better.
        with np.errstate(all="ignore"):
            outputs: Any = session.run(None, dict(inputs))
        logits: NDArray[np.float32] = outputs[0]
        return logits

    return answer
