"""How many requests may be answered together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.archive.mar import Archive
    from pipeline.serving.server import ServeSettings


def most_together(archive: Archive, settings: ServeSettings) -> int:
    """Return the largest number of requests in a batch: 1 where a batch shifts the answers in it."""
    serving = archive.serving
    if not (serving.runtime.batch_invariant or serving.runtime.one_by_one):
        return 1
    largest = max(serving.golden.batch_sizes)
    return largest if settings.batch_size is None else min(settings.batch_size, largest)
