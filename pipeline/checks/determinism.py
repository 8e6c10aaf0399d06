"""This module checks that a network answers an example the same on every call, alone as well as in a batch.

A network that is left in training mode does not: dropout draws anew on every call, and batch norm takes the statistics
of whatever came in the same batch. An export may still reproduce such a network, batch by batch, so parity alone does
not show the fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline._handlers.compare import compare, fitted, in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.model_file import run_chunks
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.expectation import measured_noise
from pipeline.checks.locate.align import align
from pipeline.checks.locate.layers import label, locate_between
from pipeline.checks.locate.trace import Step, TorchTrace, Trace
from pipeline.checks.reference import module_reference
from pipeline.engine.threads import one_thread
from pipeline.errors import ProofError

# A parity check of a usual batch has as many examples. An answer that depends on the batch does so with any two.
_EXAMPLES = 8


@dataclass(frozen=True)
class _OneRow:
    """A trace of a batch that keeps the values of a single example."""

    trace: Trace
    row: int
    rows: int

    @property
    def steps(self) -> Sequence[Step]:
        return self.trace.steps

    def outputs(self, positions: Collection[int]) -> dict[int, NDArray[Any]]:
        outputs = self.trace.outputs(positions)
        return {
            step: value[self.row : self.row + 1] if value.shape[:1] == (self.rows,) else value
            for step, value in outputs.items()
        }


def require_determinism(
    module: nn.Module,
    inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]],
    *,
    outputs: Sequence[OutputSpec] = (),
) -> None:
    """Stop where a network's answer changes from call to call, or depends on the rest of the batch.

    Args:
        module: module in evaluation mode that maps positional raw inputs to logits (B, K).
        inputs: specs of the inputs, in the order the module takes them.
        arrays: real inputs (N, *shape) by input name; the first few are used.
        outputs: specs of the outputs, each of which is compared by itself; empty for one output (B, K).

    Raises:
        ProofError: the answer to an example changes; the message names the first layer whose output does.
    """
    batch = {name: values[:_EXAMPLES] for name, values in arrays.items()}
    source = module_reference(module, inputs)
    answer = source.answer
    first = answer(batch)
    for name, submodule in module.named_modules():
        if submodule.training:
            layer = label(Step(module=name, kind=type(submodule).__name__, operator=""))
            raise ProofError(
                f"the float network: expected every layer in evaluation mode after a call, found {layer} in training "
                "mode; its forward must not call train()"
            )
    if not np.isfinite(first).all():  # the parity check says on which inputs and where this happens
        return
    # Both calls take the same sums in the same order, so rounding plays no part.
    unfitted = in_outputs(FLOAT32, outputs)
    tolerance = fitted(unfitted, first, noise=0.0)
    second = compare(first, answer(batch), tolerance)
    if not second.passed:
        with one_thread():
            traces = [TorchTrace(lambda: answer(batch), module=module) for _ in range(2)]
            finding = locate_between(*traces, pairs=_pairs(*traces), tolerance=tolerance)
        raise ProofError(
            f"the float network answers otherwise on a second call: {second.reason}; {finding.text}; dropout and "
            "random numbers must be off in evaluation mode"
        )
    tolerance = fitted(unfitted, first, noise=measured_noise(source, batch, unfitted))
    try:
        answers_alone = run_chunks(answer, batch, 1)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ProofError(
            f"the float network: expected an answer for one example alone, found {type(error).__name__}: {reason}"
        ) from error
    in_batch = compare(answers_alone, first, tolerance)
    if not in_batch.passed:
        assert in_batch.position is not None  # shapes and values can be compared
        row, rows = in_batch.position[0], len(first)
        example = {name: values[row : row + 1] for name, values in batch.items()}
        with one_thread():
            reference = TorchTrace(lambda: answer(example), module=module)
            batch_trace = TorchTrace(lambda: answer(batch), module=module)
            row_trace = _OneRow(batch_trace, row, rows)
            finding = locate_between(reference, row_trace, pairs=_pairs(reference, batch_trace), tolerance=tolerance)
        raise ProofError(
            f"the float network answers otherwise for an example alone than in a batch of {rows}: {in_batch.reason}; "
            f"{finding.text}; in evaluation mode nothing may depend on the rest of the batch, such as a batch norm's "
            "statistics"
        )


def _pairs(first: Trace, second: Trace) -> list[tuple[int, int]]:
    """Pairs of positions of the same steps in both traces; the network may take another way on another call."""
    keys = [[(step.module, step.operator) for step in trace.steps] for trace in (first, second)]
    return align(*keys)
