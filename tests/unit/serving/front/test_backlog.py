"""How fast a client reads, by what waits for it from moment to moment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pipeline.serving.front.backlog import Backlog


class Slow(asyncio.Transport):
    """A connection whose client reads when the test says so; nothing of it waits in the kernel."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})
        self.waiting = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting


@pytest.fixture
def transport() -> Iterator[Slow]:
    with socket.socket() as connection:
        yield Slow(connection)


def slow_at(backlog: Backlog, now: float) -> bool:
    return backlog.is_read_too_slowly(now, patience_s=30.0, bytes_per_s=4096)


def test_who_reads_each_small_answer_is_never_slow(transport: Slow) -> None:
    """Whenever it is looked, something is on its way, and all of it together is few bytes a second."""
    backlog = Backlog(transport)
    for second in range(100):
        transport.waiting = 0
        backlog.send(bytes(100))
        assert not slow_at(backlog, float(second))


@pytest.mark.parametrize(("bytes_per_s", "second"), [(0, 31), (4000, 31), (5000, None)])
def test_who_reads_slowly_what_waits_is_slow_after_some_patience(
    transport: Slow, bytes_per_s: int, second: int | None
) -> None:
    backlog = Backlog(transport)
    backlog.send(bytes(1_000_000))
    slow = []
    for now in range(100):
        slow.append(slow_at(backlog, float(now)))
        transport.waiting -= bytes_per_s
    assert (slow.index(True) if any(slow) else None) == second


def test_what_comes_behind_it_is_no_progress(transport: Slow) -> None:
    backlog = Backlog(transport)
    slow = []
    for now in range(40):
        backlog.send(bytes(10_000))
        slow.append(slow_at(backlog, float(now)))
    assert slow.index(True) == 31
