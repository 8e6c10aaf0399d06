"""How many examples are answered together."""

from __future__ import annotations

from pipeline._handlers.description import Serving
from pipeline.errors import UsageError
from pipeline.scoring.sources import EXAMPLES_PER_REQUEST


def batch_size_of(serving: Serving, wanted: int | None) -> int:
    """Return the largest number of examples in one call of a model.

    Args:
        serving: description of the packed model.
        wanted: number that the user asks for; None for the largest that is proven.

    Raises:
        UsageError: it is more than what is proven.
    """
    most = 1 if serving.runtime.one_by_one else max(serving.golden.batch_sizes)
    if wanted is None:
        return most
    if not 1 <= wanted <= most:
        proven = "1, since an answer depends on the others in a batch" if most == 1 else f"1 to {most}, as proven"
        raise UsageError(f"--batch-size: expected {proven}, found {wanted}")
    return wanted


def request_size(batch_size: int) -> int:
    """Return the number of examples in one request: a multiple of the batch size, so that batches are always full.

    Args:
        batch_size: largest number of examples in one call of the model.
    """
    return batch_size * max(1, EXAMPLES_PER_REQUEST // batch_size)
