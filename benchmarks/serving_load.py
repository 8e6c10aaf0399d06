"""Requests in an open loop: they are due at moments of their own, and a slow answer makes no later one wait its turn.

Latency counts from the moment at which a request was due, so that a server that stalls is charged for all that it
kept waiting (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import httptools
import numpy as np
import uvloop
from numpy.typing import NDArray


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, free: list[_Connection]) -> None:
        self._free = free
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self.due = 0.0
        self.latencies: list[float] = []
        self.failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._free.append(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Note how long it took since it was due, or that it was refused."""
        if self._parser.get_status_code() == 200:
            self.latencies.append(time.perf_counter() - self.due)
        else:
            self.failures += 1
        self._free.append(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request."""
        self.due = due
        self._transport.write(request)


async def _load(port: int, request: bytes, moments: NDArray[np.float64], connections: int) -> tuple[list[float], int]:
    loop = asyncio.get_running_loop()
    free: list[_Connection] = []
    made = [(await loop.create_connection(lambda: _Connection(free), "127.0.0.1", port))[1] for _ in range(connections)]
    began = time.perf_counter() + 0.1
    for moment in moments:
        due = began + float(moment)
        while (left := due - time.perf_counter()) > 0:  # noqa: ASYNC110 - moments, not events
            await asyncio.sleep(left if left > 0.0005 else 0)
        while not free:  # noqa: ASYNC110 - waits for whichever is first
            await asyncio.sleep(0)
        free.pop().send(request, due)
    while len(free) < connections:  # noqa: ASYNC110 - the last answers
        await asyncio.sleep(0.001)
    latencies = [latency for connection in made for latency in connection.latencies]
    return latencies, sum(connection.failures for connection in made)


def open_loop(
    port: int, request: bytes, *, per_second: float, seconds: float, connections: int, seed: int
) -> tuple[Sequence[float], int]:
    """Send requests at random moments (a Poisson process).

    Args:
        port: the server's port on loopback.
        request: the whole request.
        per_second: mean rate.
        seconds: length.
        connections: most requests under way together; further ones wait, and are charged for it.
        seed: seed of the moments.

    Returns:
        Seconds from due to answered, one for each answer of 200, and the number of the others.
    """
    gaps = np.random.default_rng(seed).exponential(1 / per_second, size=int(per_second * seconds))
    return uvloop.run(_load(port, request, np.cumsum(gaps), connections))
