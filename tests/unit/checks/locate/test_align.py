from __future__ import annotations

import random

from pipeline.checks.locate.align import align


def test_what_an_exporter_leaves_out_is_skipped() -> None:
    assert align(["to", "conv", "norm", "relu", "dropout", "linear"], ["to", "conv", "relu", "linear"]) == [
        (0, 0),
        (1, 1),
        (3, 2),
        (5, 3),
    ]


def test_repeated_blocks_are_paired_block_by_block() -> None:
    block, folded = ["conv", "norm", "relu", "conv", "norm", "add", "relu"], ["conv", "relu", "conv", "add", "relu"]
    pairs = align(block * 4, folded * 4)
    assert len(pairs) == 20
    assert {one // 7 - other // 5 for one, other in pairs} == {0}


def test_nothing_in_common() -> None:
    assert align(["a"], ["b"]) == []
    assert align([], ["b"]) == []


def test_the_longest_of_all() -> None:
    def longest(one: str, other: str) -> int:
        if not one or not other:
            return 0
        if one[0] == other[0]:
            return 1 + longest(one[1:], other[1:])
        return max(longest(one[1:], other), longest(one, other[1:]))

    generator = random.Random(0)
    for _ in range(60):
        one = "".join(generator.choices("abc", k=generator.randrange(8)))
        other = "".join(generator.choices("abc", k=generator.randrange(8)))
        pairs = align(one, other)
        assert len(pairs) == longest(one, other)
        assert all(one[left] == other[right] for left, right in pairs)
        assert pairs == sorted(pairs)
        assert len({left for left, _ in pairs}) == len({right for _, right in pairs}) == len(pairs)
