"""Splits examples by their content, so that copies of one example never sit on both sides."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

# Position of a split in `pipeline.data.dataset.SPLITS`.
TRAIN, VALIDATION, TEST = 0, 1, 2

_DIGEST_BYTES = 8


def content_digest(content: bytes, *, seed: int) -> int:
    """A number from 0 to 2^64 - 1 that depends on the content and the seed alone."""
    key = seed.to_bytes(_DIGEST_BYTES, "little")
    return int.from_bytes(hashlib.blake2b(content, digest_size=_DIGEST_BYTES, key=key).digest(), "little")


def content_digests(rows: NDArray[np.generic], *, seed: int) -> NDArray[np.uint64]:
    """The digest of each row of an array, (N,) uint64.

    Args:
        rows: (N, W) of any dtype; rows are copies of each other if their bytes are.
        seed: seed of the split.
    """
    content = np.ascontiguousarray(rows)
    width = content.nbytes // max(1, len(content))
    whole = content.tobytes()
    return np.fromiter(
        (content_digest(whole[start : start + width], seed=seed) for start in range(0, len(whole), width)),
        dtype=np.uint64,
        count=len(content),
    )


def split_by_digest(digests: NDArray[np.uint64], *, validation: float, test: float) -> NDArray[np.int8]:
    """The split of each example by its digest, (N,): its position in `SPLITS`.

    An example stays in its split when others are added or taken away. The shares are met on average, and exactly by
    no small set.

    Args:
        digests: digests of the examples, (N,).
        validation: share of the examples for validation.
        test: share of the examples for the test.
    """
    places = digests / 2.0**64
    splits = np.full(len(digests), TRAIN, dtype=np.int8)
    splits[places < validation + test] = TEST
    splits[places < validation] = VALIDATION
    return splits
