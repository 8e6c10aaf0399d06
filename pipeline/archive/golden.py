"""Golden inputs, and the answers to them from a new process that runs the code and the state that will serve."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save, save_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RUNTIMES
from pipeline._handlers.sizes import SizeGroup, pack_size_groups
from pipeline.errors import ProofError, StageError
from pipeline.replay.start import Run, replay

# Longest time for all answers of a file, far above any file's. A file that never answers must not hold a build forever.
_TIMEOUT_S = 600.0
# Number of golden examples of each size of a free axis. They are asked alone, and together.
_EXAMPLES_PER_SIZE = 3


def answers(
    folder: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]],
    batch_sizes: Sequence[int],
) -> dict[int, NDArray[np.float32]]:
    """Return the logits from a new process that loads the model as a worker does.

    Args:
        folder: folder in which the model file lies.
        runtime: how it is run.
        inputs: input specifications in the order the model takes them.
        arrays: arrays (N, *shape) by input name.
        batch_sizes: batch sizes; the examples are run in consecutive chunks of each.

    Returns:
        Logits (N, K) by batch size.

    Raises:
        StageError: the process failed.
        ProofError: an answer is NaN or infinite.
    """
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        scratch = Path(name)
        data = scratch / "inputs.safetensors"
        save_file({f"input.{spec.name}": np.ascontiguousarray(arrays[spec.name]) for spec in inputs}, data)
        # The state that counts is the one that goes on answering.
        calls = RUNTIMES[runtime.kind].settled_call
        runs = [Run(name=str(size), data=data, batch_size=size, calls=calls) for size in batch_sizes]
        try:
            replayed = replay(
                file=folder / runtime.file,
                runtime=runtime,
                inputs=inputs,
                runs=runs,
                scratch=scratch,
                timeout_s=_TIMEOUT_S,
            ).answers
        except ProofError as error:  # it was proven before
            raise StageError(str(error)) from error
    logits: dict[int, NDArray[np.float32]] = {size: replayed[str(size), calls - 1] for size in batch_sizes}
    for size, values in logits.items():
        if not np.isfinite(values).all():
            position = [int(axis) for axis in np.argwhere(~np.isfinite(values))[0]]
            raise ProofError(
                f"{runtime.file}: expected finite logits, found NaN or infinity at {position}, batch {size}"
            )
    return logits


def answered(
    folder: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    groups: Sequence[SizeGroup],
    batch_sizes: Sequence[int],
) -> list[SizeGroup]:
    """Answer a few examples of each size, alone and in one batch; see `answers`.

    Args:
        folder: folder in which the model file lies.
        runtime: how it is run.
        inputs: input specifications in the order the model takes them.
        groups: examples of one size each.
        batch_sizes: batch sizes of the other golden answers; no larger batch is run.
    """
    sizes = sorted({1, min(_EXAMPLES_PER_SIZE, max(batch_sizes))})
    answered_groups = []
    for group in groups:
        arrays = {name: values[:_EXAMPLES_PER_SIZE] for name, values in group.inputs.items()}
        logits = answers(folder, runtime, inputs, arrays, sizes)
        answered_groups.append(SizeGroup(sizes=group.sizes, inputs=arrays, logits=logits))
    return answered_groups


def pack_golden(
    arrays: Mapping[str, NDArray[Any]],
    logits: Mapping[int, NDArray[np.float32]],
    groups: Sequence[SizeGroup] = (),
) -> bytes:
    """Return the golden file: `input.<name>`, `logits.<batch size>`, and examples of other sizes with their answers."""
    tensors = {f"input.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
    tensors |= {f"logits.{size}": np.ascontiguousarray(values) for size, values in logits.items()}
    content: bytes = save(tensors | pack_size_groups(groups))
    return content
