"""Timers are interleaved in an order that turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.measure.rounds import interleave


@dataclass
class Recorder:
    """A timer whose seconds follow from batch size and number of calls, and which logs each of its turns."""

    name: str
    batch_sizes: tuple[int, ...]
    log: list[tuple[str, int]]
    calls: int = field(default=0)

    def time(self, batch_size: int, block_s: float) -> float:
        assert block_s == 0.05
        self.log.append((self.name, batch_size))
        self.calls += 1
        return float(batch_size + self.calls / 100)


def test_blocks_of_one_size_follow_each_other_and_the_order_turns() -> None:
    log: list[tuple[str, int]] = []
    completed: list[int] = []
    timers = [Recorder("a", (1, 8), log), Recorder("b", (1, 8), log), Recorder("c", (8,), log)]
    timings = interleave(timers, rounds=3, block_s=0.05, progress=completed.append)
    assert completed == [1, 2, 3]
    assert ["".join(name for name, _ in log[start : start + 5]) for start in (0, 5, 10)] == ["abbca", "bacab", "ababc"]
    assert [size for _, size in log] == [1, 1, 8, 8, 8] * 3
    assert list(timings) == ["a", "b", "c"]
    assert [timing.batch_size for timing in timings["a"]] == [1, 8]
    assert [timing.rounds_s for timing in timings["a"]] == [(1.01, 1.03, 1.05), (8.02, 8.04, 8.06)]
    assert [timing.rounds_s for timing in timings["c"]] == [(8.01, 8.02, 8.03)]
