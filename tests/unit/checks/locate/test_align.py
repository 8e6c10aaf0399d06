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
    assert {left // 7 - right // 5 for left, right in pairs} == {0}


def test_nothing_in_common() -> None:
    assert align(["a"], ["b"]) == []
    assert align([], ["b"]) == []


def test_the_longest_of_all() -> None:
    def longest(first: str, second: str) -> int:
        if not first or not second:
            return 0
        if first[0] == second[0]:
            return 1 + longest(first[1:], second[1:])
        return max(longest(first[1:], second), longest(first, second[1:]))

    generator = random.Random(0)
    for _ in range(60):
        first = "".join(generator.choices("abc", k=generator.randrange(8)))
        second = "".join(generator.choices("abc", k=generator.randrange(8)))
        pairs = align(first, second)
        assert len(pairs) == longest(first, second)
        assert all(first[left] == second[right] for left, right in pairs)
        assert pairs == sorted(pairs)
        assert len({left for left, _ in pairs}) == len({right for _, right in pairs}) == len(pairs)
