"""This module pairs the steps of a network with the steps of its export, which an exporter rewrote."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def align(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Find the positions of a longest common subsequence.

    An exporter leaves steps out (dropout, a folded batch norm) and puts a few in, but keeps their order.

    Args:
        first: keys of the first sequence; equal keys may be the same step.
        second: keys of the second sequence.

    Returns:
        Pairs of positions, both increasing. Among several longest subsequences, this is the one that matches as late
        as possible in `first`, so that a step is paired with the one right in front of what follows it.
    """
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    rows, columns = len(first) - start, len(second) - start
    numbers: dict[Hashable, int] = {}
    left = np.array([numbers.setdefault(key, len(numbers)) for key in first[start:]], dtype=np.int64)
    right = np.array([numbers.setdefault(key, len(numbers)) for key in second[start:]], dtype=np.int64)
    # longest[i, j]: length of the longest common subsequence of the first i and the first j
    longest = np.zeros((rows + 1, columns + 1), dtype=np.int32)
    for row in range(1, rows + 1):
        best = np.where(right == left[row - 1], longest[row - 1, :-1] + 1, longest[row - 1, 1:])
        longest[row, 1:] = np.maximum.accumulate(best)
    pairs = []
    row, column = rows, columns
    while row and column:
        if left[row - 1] == right[column - 1]:
            pairs.append((start + row - 1, start + column - 1))
            row, column = row - 1, column - 1
        elif longest[row - 1, column] >= longest[row, column - 1]:
            row -= 1
        else:
            column -= 1
    return [(position, position) for position in range(start)] + pairs[::-1]
