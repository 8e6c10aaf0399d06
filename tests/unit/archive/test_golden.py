"""Which examples become golden inputs."""

from __future__ import annotations

import numpy as np

from pipeline.archive.golden import near_ties


def test_near_ties_are_the_smallest_margins_first() -> None:
    logits = np.array([[5, 0, 1], [1, 1.1, -9], [2, 0, 0], [3, 3, 0]], dtype=np.float32)
    assert near_ties(logits, 2).tolist() == [3, 1]
    assert near_ties(logits, 9).tolist() == [3, 1, 2, 0]
    # Of probabilities too.
    assert near_ties(np.array([[0.9, 0.1, 0], [0.4, 0.3, 0.3], [1, 0, 0]], np.float32), 2).tolist() == [1, 0]
    assert near_ties(np.array([[2], [1]], dtype=np.float32), 1).tolist() == [1]
