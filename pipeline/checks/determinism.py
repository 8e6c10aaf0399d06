"""Whether a network is one function: the same answer on every call, and for an example alone as in a batch.

A network that is left in training mode is not: dropout draws anew on every call, and batch norm takes the statistics of
whatever came in the same batch. An export of it may still reproduce it, batch by batch, so parity alone does not show.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline._handlers.compare import compare, fitted
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.model_file import run_chunks
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.locate.align import align
from pipeline.checks.locate.layers import label, locate_between
from pipeline.checks.locate.trace import Step, TorchTrace, Trace
from pipeline.checks.reference import module_reference
from pipeline.checks.ruler import measured_noise
from pipeline.engine.threads import one_thread
from pipeline.errors import ProofError

# As many as a parity check of a usual batch has; what depends on the batch does so with any two.
_EXAMPLES = 8


@dataclass(frozen=True)
class _OneRow:
    """A trace of a batch, of whose values one example's are kept."""

    trace: Trace
    row: int
    rows: int

    @property
    def steps(self) -> Sequence[Step]:
        return self.trace.steps

    def outputs(self, wanted: Collection[int]) -> dict[int, NDArray[Any]]:
        found = self.trace.outputs(wanted)
        return {
            step: value[self.row : self.row + 1] if value.shape[:1] == (self.rows,) else value
            for step, value in found.items()
        }


def require_steady(module: nn.Module, inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Stop where a network answers otherwise from call to call, or depends on the rest of the batch.

    Args:
        module: raw inputs positional in, logits (B, K) out; in evaluation mode.
        inputs: in the order the module takes them.
        arrays: real inputs (N, *shape) by input name; the first few are used.

    Raises:
        ProofError: it is no function of one example; names the first layer that is not.
    """
    batch = {name: values[:_EXAMPLES] for name, values in arrays.items()}
    source = module_reference(module, inputs)
    answer = source.answer
    first = answer(batch)
    for name, one in module.named_modules():
        if one.training:
            layer = label(Step(module=name, kind=type(one).__name__, operator=""))
            raise ProofError(
                f"the float network: expected every layer in evaluation mode after a call, found {layer} in training "
                "mode; its forward must not call train()"
            )
    if not np.isfinite(first).all():  # the parity check says on which inputs, and where
        return
    # The same sums in the same order: rounding has no part in it.
    tolerance = fitted(FLOAT32, first, noise=0.0)
    again = compare(first, answer(batch), tolerance)
    if not again.passed:
        with one_thread():
            traces = [TorchTrace(lambda: answer(batch), module=module) for _ in range(2)]
            finding = locate_between(*traces, pairs=_pairs(*traces), tolerance=tolerance)
        raise ProofError(
            f"the float network answers otherwise on a second call: {again.reason}; {finding.text}; dropout and random "
            "numbers must be off in evaluation mode"
        )
    tolerance = fitted(FLOAT32, first, noise=measured_noise(source, batch))
    try:
        alone = run_chunks(answer, batch, 1)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ProofError(
            f"the float network: expected an answer for one example alone, found {type(error).__name__}: {reason}"
        ) from error
    together = compare(alone, first, tolerance)
    if not together.passed:
        assert together.position is not None  # shapes and values can be compared
        row, rows = together.position[0], len(first)
        example = {name: values[row : row + 1] for name, values in batch.items()}
        with one_thread():
            reference = TorchTrace(lambda: answer(example), module=module)
            found = TorchTrace(lambda: answer(batch), module=module)
            kept = _OneRow(found, row, rows)
            finding = locate_between(reference, kept, pairs=_pairs(reference, found), tolerance=tolerance)
        raise ProofError(
            f"the float network answers otherwise for an example alone than in a batch of {rows}: {together.reason}; "
            f"{finding.text}; in evaluation mode nothing may depend on the rest of the batch, such as a batch norm's "
            "statistics"
        )


def _pairs(one: Trace, other: Trace) -> list[tuple[int, int]]:
    """The same steps, unless the network takes another way on another call."""
    keys = [[(step.module, step.operator) for step in trace.steps] for trace in (one, other)]
    return align(*keys)
