"""Make the references that a candidate's answers are compared with."""

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
from pipeline._handlers.outputs import OutputSpec
from pipeline.checks.float64 import Exact, exact_answers
from pipeline.checks.parity_report import SAME_FILE
from pipeline.engine.threads import one_thread
from pipeline.models.spec import joined


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A source of right answers.

    Args:
        name: name for people, in messages and tables.
        answer: function from one batch, arrays (B, *shape) by input name, to logits (B, K).
        exact: the same function in float64, which shows the rounding of float32; None where it is not known.
        same_file: whether it is the candidate's own file with graph optimizations off.
        module: torch module behind it, if there is one.
        file: ONNX file behind it, if it is not the candidate's own.
    """

    name: str
    answer: Model
    exact: Exact | None = None
    same_file: bool = False
    module: nn.Module | None = None
    file: Path | None = None


def module_reference(module: nn.Module, inputs: Sequence[InputSpec], *, exact: bool = True) -> Reference:
    """Make a reference of the exported torch module, run eagerly on one thread.

    Args:
        module: module in evaluation mode that maps positional raw inputs to logits (B, K), or to several outputs.
        inputs: specs of the inputs, in the order the module takes them.
        exact: whether its answers in float64 show the effect of rounding; they do not for a module that quantizes.
    """
    names = [spec.name for spec in inputs]

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        with torch.inference_mode(), one_thread():
            # torch refuses arrays that may not be written to; only those are copied
            tensors = [torch.from_numpy(np.require(inputs[name], requirements=["C", "W"])) for name in names]
            logits: NDArray[np.float32] = joined(module(*tensors)).numpy()
        return logits

    return Reference(
        name="its torch module",
        answer=answer,
        exact=exact_answers(module, inputs) if exact else None,
        module=module,
    )


def unoptimized_reference(file: Path, inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec] = ()) -> Reference:
    """Make a reference of a quantized ONNX file, run without graph optimizations: it has no torch source.

    Args:
        file: ONNX file.
        inputs: specs of the inputs, in the order the model takes them.
        outputs: specs of its outputs; empty for one output (B, K).
    """
    runtime = RuntimeSpec(kind="onnxruntime", file=file.name, optimization="none", outputs=tuple(outputs))
    answer = load_model(file.parent, runtime, inputs)
    return Reference(name=SAME_FILE, answer=answer, same_file=True)


def remade_reference(file: Path, inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec] = ()) -> Reference:
    """Make a reference of a quantized ONNX file that the build makes again, for a file that was altered since.

    Args:
        file: ONNX file that the build made again; it runs without graph optimizations.
        inputs: specs of the inputs, in the order the model takes them.
        outputs: specs of its outputs; empty for one output (B, K).
    """
    answer = unoptimized_reference(file, inputs, outputs).answer
    return Reference(name="the file that the build made", answer=answer, file=file)


def evaluator(file: Path) -> Model:
    """Run an ONNX file in onnx's reference evaluator, which computes operators as specified, slowly.

    https://onnx.ai/onnx/api/reference.html

    Args:
        file: ONNX file.

    Raises:
        NotImplementedError: the evaluator has no implementation of an operator, such as a runtime's own.
    """
    session = ReferenceEvaluator(str(file))

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        # Numpy warns of inputs on which the runtimes answer infinity or NaN; the comparison says it better.
        with np.errstate(all="ignore"):
            outputs: Any = session.run(None, dict(inputs))
        logits: NDArray[np.float32] = joined([torch.from_numpy(output) for output in outputs]).numpy()
        return logits

    return answer
