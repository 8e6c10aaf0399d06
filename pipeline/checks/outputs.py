"""A candidate's outputs on a split, from the file as it is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.replay.start import Run, replay, require_examples

# What a batch-variant candidate is judged in where it is served in batches: chunks of this many examples, the largest
# batch that the parity check and the golden answers hold by default.
SERVED_BATCH = 32


def predict_logits(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    data: Path,
    batch_size: int = 128,
    scratch: Path,
) -> NDArray[np.float32]:
    """Answers of a model file as it is served, from a new process.

    Args:
        file: the model file.
        runtime: how it is served: one example at a time where it is not batch-invariant, unless that is allowed; then
            in chunks of `SERVED_BATCH`, whose answers are those of the order in the file.
        inputs: in the order the model takes them.
        data: safetensors file with `input.<name>` (N, *shape), such as a split of the data set.
        batch_size: examples per call where answers do not depend on it.
        scratch: an existing folder for temporary files.

    Returns:
        Logits (N, K).

    Raises:
        DataError: there are no examples.
        ProofError: the file cannot be loaded, or cannot answer.
    """
    require_examples(data, inputs)
    size = 1 if runtime.one_by_one else batch_size if runtime.batch_invariant else SERVED_BATCH
    run = Run(name="data", data=data, batch_size=size)
    answers = replay(file=file, runtime=runtime, inputs=inputs, runs=[run], scratch=scratch).answers
    logits: NDArray[np.float32] = answers["data", 0]
    return logits
