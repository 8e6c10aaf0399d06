"""The golden batch of an archive: its inputs, and what a server must answer to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from pipeline.archive.mar import Archive


def golden_answers(archive: Archive) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Return the golden inputs and the answers expected through the server.

    Returns:
        Arrays (N, *shape) by input name, and logits (N, K). These are the logits of the largest batch, or those of
        single examples where the model's answers depend on the batch.
    """
    serving = archive.serving
    tensors = load(archive.members[serving.golden.file])
    size = max(serving.golden.batch_sizes) if serving.runtime.batch_invariant else 1
    return {spec.name: tensors[f"input.{spec.name}"] for spec in serving.inputs}, tensors[f"logits.{size}"]
