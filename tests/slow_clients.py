"""Clients that hold connections and hardly move: slow heads, slow bodies, readers that read nothing, silent ones."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import uvloop

# Pause between two bytes, in seconds.
_PAUSE_S = 1.0
_BUFFER_BYTES = 4096


class SlowClients:
    """Connections that are opened again where the server closes them, until they may end.

    Args:
        port: the server's port on loopback.
        path: path of predictions.
        number: number of connections, of all kinds in turn.
        large: a request with a large answer, for those that read nothing.
        sources: addresses of this machine that they come from, in turn.
    """

    def __init__(
        self, port: int, path: str, number: int, *, large: bytes, sources: Sequence[str] = ("127.0.0.1",)
    ) -> None:
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.told: Counter[bytes] = Counter()
        self._address = "127.0.0.1", port
        self._path = path.encode()
        self._large = large
        self._rests = threading.Event()
        kinds = itertools.cycle(("slow head", "slow body", "reads nothing", "silent"))
        self._places = list(zip(range(number), kinds, itertools.cycle(sources), strict=False))
        self._loop = uvloop.new_event_loop()
        self._work = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    @property
    def open(self) -> int:
        """Number of connections that the server has not closed."""
        return self.opened.total() - self.closed.total()

    def rest(self) -> None:
        """Let them open no further connection, and say nothing more on those that they have."""
        self._rests.set()

    def end(self) -> None:
        """Close all connections that are left."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _, kind, source in self._places:
                group.create_task(self._hold(kind, source))

    async def _hold(self, kind: str, source: str) -> None:
        loop = asyncio.get_running_loop()
        while not self._rests.is_set():
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            connection.settimeout(0)
            connection.bind((source, 0))
            with connection:
                await loop.sock_connect(connection, self._address)
                self.opened[kind] += 1
                with suppress(ConnectionError):
                    await self._behave(loop, connection, kind)
                self.closed[kind] += 1

    async def _behave(self, loop: asyncio.AbstractEventLoop, connection: socket.socket, kind: str) -> None:
        """Do what a client of this kind does, until the server closes the connection."""
        if kind == "reads nothing":
            sending = asyncio.create_task(loop.sock_sendall(connection, self._large * 20))
            try:
                while not _is_torn_off(connection):  # noqa: ASYNC110 - nothing else tells of it
                    await asyncio.sleep(_PAUSE_S)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            return
        reading = asyncio.create_task(self._read(loop, connection))
        for part in () if kind == "silent" else self._parts(kind):
            if reading.done() or self._rests.is_set():
                break
            await loop.sock_sendall(connection, part)
            await asyncio.wait([reading], timeout=_PAUSE_S)
        await reading

    def _parts(self, kind: str) -> Iterator[bytes]:
        head = b"POST %b HTTP/1.1\r\nhost: localhost\r\n" % self._path
        if kind == "slow body":
            yield head + b"content-length: 100000\r\n\r\n"
            yield from itertools.repeat(b"x")
        yield from (head[place : place + 1] for place in range(len(head)))
        for _ in itertools.count():
            yield from (b"a", b":", b"b", b"\r\n")

    async def _read(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        answer = b""
        try:
            while part := await loop.sock_recv(connection, 4096):
                answer += part
        finally:
            self.told[answer[9:12]] += 1


def _is_torn_off(connection: socket.socket) -> bool:
    """Whether the server has reset the connection: nothing is read to learn it."""
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@contextmanager
def slow_clients(make: Callable[[], SlowClients]) -> Iterator[SlowClients]:
    """Slow clients for the length of a `with` block; they end at its end, however it ends."""
    clients = make()
    try:
        yield clients
    finally:
        clients.end()
