"""Turns of a training are whole, and ours fall into one epoch each."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.training_worker import BATCH_SIZE, Job, Steps, Turns, _take_turns

# An epoch of 50,000 pictures has so many batches of 128, and ours reports every tenth and the last.
PER_EPOCH, EPOCHS = 391, 3


class Log(Turns):
    """Writes down at which batch a turn was waited for, started and ended."""

    def __init__(self) -> None:
        self.now = 0
        self.events: list[tuple[str, int]] = []

    def wait(self) -> None:
        self.events.append(("wait", self.now))

    def start(self) -> None:
        self.events.append(("start", self.now))

    def end(self, pictures: int, *, accuracy: float | None = None) -> None:
        assert accuracy is None
        self.events.append(("end", self.now))
        assert pictures == (self.now - self.events[-2][1]) * BATCH_SIZE


def test_a_turn_has_a_lead_and_never_spans_two_epochs() -> None:
    log = Log()
    steps = Steps(log, Job(kind="ours", turn=20 * BATCH_SIZE, folder="", cores=(0,), epochs=EPOCHS))
    for epoch in range(EPOCHS):
        for batch in (*range(10, PER_EPOCH, 10), PER_EPOCH):
            log.now = epoch * PER_EPOCH + batch
            steps.progress("train", log.now, EPOCHS * PER_EPOCH)
    names = [name for name, _ in log.events]
    assert names[:4] == ["wait", "start", "end", "wait"]
    started = [at for name, at in log.events if name == "start"]
    ended = [at for name, at in log.events if name == "end"]
    assert len(ended) >= 30
    for first, last in zip(started, ended, strict=False):
        assert last - first == 20
        assert first // PER_EPOCH == (last - 1) // PER_EPOCH
    waited = [at for name, at in log.events if name == "wait"]
    assert all(first - asked >= 10 for asked, first in zip(waited, started, strict=False))


def test_the_textbooks_turns_go_on_over_the_end_of_an_epoch() -> None:
    log = Log()

    def steps() -> Iterator[int]:
        for number in range(100):
            log.now = number + 1
            yield BATCH_SIZE

    _take_turns(steps(), 20 * BATCH_SIZE, log)
    assert log.events[:5] == [("wait", 0), ("start", 10), ("end", 30), ("wait", 30), ("start", 40)]
