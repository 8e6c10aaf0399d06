"""Compute a candidate's outputs on a split, from the file as it is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.replay.start import Run, replay, replaying, require_examples

# A candidate whose answers depend on the batch, and which is served in batches, is judged in chunks of this many
# examples. It is the largest batch of the parity check and of the golden answers by default.
SERVED_BATCH = 32
# Examples per call where answers do not depend on it.
_BATCH = 128


def predict_logits(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    data: Path,
    scratch: Path,
) -> NDArray[np.float32]:
    """Run a model file in a new process, as it is served, and return its answers.

    Args:
        file: model file.
        runtime: settings with which it is served. A file that is not batch-invariant gets one example at a time, unless
            batches are allowed; then it gets chunks of `SERVED_BATCH`, in the order of the data file.
        inputs: specs of the inputs, in the order the model takes them.
        data: safetensors file with `input.<name>` (N, *shape), such as a split of the data set.
        scratch: existing folder for temporary files.

    Returns:
        Logits (N, K).

    Raises:
        DataError: there are no examples.
        ProofError: the file cannot be loaded, or cannot answer.
    """
    run = _whole_split(runtime, inputs, data)
    logits: NDArray[np.float32] = replay(
        file=file, runtime=runtime, inputs=inputs, runs=[run], scratch=scratch
    ).answers[run.name, 0]
    return logits


@contextmanager
def predicting(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    data: Path,
    scratch: Path,
) -> Iterator[Callable[[], NDArray[np.float32]]]:
    """Run a model file beside this process, for as long as the block lasts.

    Args:
        file: as for `predict_logits`.
        runtime: as for `predict_logits`.
        inputs: as for `predict_logits`.
        data: as for `predict_logits`.
        scratch: as for `predict_logits`.

    Returns:
        A function that waits for what `predict_logits` returns, or raises what it raises.

    Raises:
        DataError: there are no examples.
    """
    run = _whole_split(runtime, inputs, data)
    with replaying(file=file, runtime=runtime, inputs=inputs, runs=[run], scratch=scratch) as pending:

        def predicted() -> NDArray[np.float32]:
            logits: NDArray[np.float32] = pending.finished().answers[run.name, 0]
            return logits

        yield predicted


def _whole_split(runtime: RuntimeSpec, inputs: Sequence[InputSpec], data: Path) -> Run:
    """All examples of a file, in the batches in which they are answered."""
    require_examples(data, inputs)
    size = 1 if runtime.one_by_one else _BATCH if runtime.batch_invariant else SERVED_BATCH
    return Run(name="data", data=data, batch_size=size)
