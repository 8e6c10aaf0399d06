"""A lane: requests that wait, and are answered together as soon as there is a place; nobody waits for a batch to fill.

While there is a place, a request is handed over at once, together with those that came in the same instant; where one
connection alone is open, it does not wait for these either. While there is none, the others gather and make the next
batch. Under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from pipeline._handlers.exchange import Incoming, Response
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.serving.front.board import STEPS, Row
from pipeline.serving.front.engine import answered, busy

# More requests do not wait, however fast they are answered.
_MOST_WAITING = 1024
# Weight of the last batch in the running means of times.
_WEIGHT = 0.2
# A batch is handed over early while one ends at least so often, in seconds. Longer work gains nothing from it: its
# batches would be smaller, and the requests of one that was handed over cannot be refused any more.
_BRIEF_S = 0.01
_QUEUE = STEPS.index("queue")

Work = Callable[[Sequence[Incoming]], Sequence[Response] | Awaitable[Sequence[Response]]]


class Lane:
    """Requests that wait for one kind of work.

    Args:
        work: answers requests together; a coroutine function where it leaves the loop free meanwhile.
        most: most requests in a batch.
        most_bytes: most bytes of their bodies together, unless one alone has more.
        places: number of batches that are worked on together; of work that is no coroutine there is always one.
        early: number of batches that are handed over besides, and wait where the work is done, while batches are brief.
        longest_s: longest wait of a request, in seconds.
        row: row of the board that counts.
    """

    def __init__(
        self,
        work: Work,
        *,
        most: int,
        most_bytes: int = MAX_BODY_BYTES,
        places: int = 1,
        early: int = 0,
        longest_s: float,
        row: Row,
    ) -> None:
        self._work = work
        self._most = most
        self._most_bytes = most_bytes
        self._places = places
        self._early = early
        self._under_way = 0
        self._longest_s = longest_s
        self._row = row
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Incoming, asyncio.Future[Response], float]] = deque()
        self._awake = False
        # Running means of the time per request, and per batch, of all places together.
        self._pace_s = self._batch_s = 0.0
        self._ended = 0.0  # when the last batch ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: asyncio.TimerHandle | None = None  # it is there while something may wait

    def submit(self, incoming: Incoming) -> asyncio.Future[Response]:
        """Queue a request; of one that would wait too long, the answer says so at once."""
        expected_s = len(self._waiting) * self._pace_s
        if len(self._waiting) >= _MOST_WAITING or expected_s > self._longest_s:
            return answered(busy(expected_s))
        future: asyncio.Future[Response] = self._loop.create_future()
        self._waiting.append((incoming, future, time.perf_counter()))
        if self._late is None:
            self._late = self._loop.call_later(self._longest_s, self._refuse_the_late)
        if not self._awake and self._row.connections <= 1 and self._has_place():
            self._begin()
        else:
            self._wake()
        return future

    def _has_place(self) -> bool:
        return self._under_way < self._places + (self._early if self._batch_s < _BRIEF_S else 0)

    def _wake(self) -> None:
        # What arrived in the same turn of the loop is queued before it is called.
        if not self._awake and self._waiting and self._has_place():
            self._awake = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Take the next batch to a place."""
        self._awake = False
        if not self._has_place():  # a batch was begun meanwhile
            return
        began = time.perf_counter()
        batch = self._next_batch(began)
        if not batch:
            return
        try:
            result = self._work([incoming for incoming, _ in batch])
        except Exception as error:  # noqa: BLE001 - each client is told
            self._fail(error, batch)
            self._wake()
            return
        if isinstance(result, Awaitable):
            self._under_way += 1
            task = self._loop.create_task(self._finish_later(result, batch, began))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._finish(result, batch, began)
        self._wake()

    def _next_batch(self, now: float) -> list[tuple[Incoming, asyncio.Future[Response]]]:
        batch: list[tuple[Incoming, asyncio.Future[Response]]] = []
        size = 0
        while self._waiting and len(batch) < self._most:
            size += self._waiting[0][0].size
            if batch and size > self._most_bytes:
                break
            incoming, future, came = self._waiting.popleft()
            if future.cancelled():  # its client is gone
                continue
            self._row.count_time(_QUEUE, now - came)
            if now - came > self._longest_s:
                future.set_result(busy(now - came))
                continue
            batch.append((incoming, future))
        return batch

    def _refuse_the_late(self) -> None:
        """Let nobody wait longer than the longest wait, though no place becomes free: work may hang."""
        now = time.perf_counter()
        while self._waiting and now - self._waiting[0][2] >= self._longest_s:
            _, future, came = self._waiting.popleft()
            if not future.done():
                self._row.count_time(_QUEUE, now - came)
                future.set_result(busy(now - came))
        self._late = None
        if self._waiting:
            rest_s = self._longest_s - (now - self._waiting[0][2])
            self._late = self._loop.call_later(rest_s, self._refuse_the_late)

    async def _finish_later(
        self,
        result: Awaitable[Sequence[Response]],
        batch: Sequence[tuple[Incoming, asyncio.Future[Response]]],
        began: float,
    ) -> None:
        try:
            responses = await result
        except Exception as error:  # noqa: BLE001 - each client is told
            self._fail(error, batch)
        else:
            self._finish(responses, batch, began)
        finally:
            self._under_way -= 1
            self._wake()

    def _fail(self, error: Exception, batch: Sequence[tuple[Incoming, asyncio.Future[Response]]]) -> None:
        self._ended = time.perf_counter()
        for _, future in batch:
            if not future.done():
                future.set_exception(error)

    def _finish(
        self,
        responses: Sequence[Response],
        batch: Sequence[tuple[Incoming, asyncio.Future[Response]]],
        began: float,
    ) -> None:
        now = time.perf_counter()
        took_s, self._ended = now - max(began, self._ended), now
        if any(response.status != 503 for response in responses):  # to refuse all takes no time
            self._batch_s += _WEIGHT * (took_s - self._batch_s)
            self._pace_s += _WEIGHT * (took_s / len(batch) - self._pace_s)
        for (_, future), response in zip(batch, responses, strict=True):
            if not future.done():
                future.set_result(response)
