"""An ASGI application that is carried by our own HTTP, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from pipeline.serving.front.bounds import Bounds
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.exchange import Application, Receive, Scope, Send


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A carrier that runs.

    Args:
        port: its port on loopback.
        carrier: the carrier; only its thread may call it.
        loop: its event loop.
    """

    port: int
    carrier: Carrier
    loop: asyncio.AbstractEventLoop

    def connect(self, timeout_s: float = 5.0) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def ask(self, sent: bytes) -> bytes:
        """Send bytes, and return all that comes until the connection is closed."""
        with self.connect() as connection:
            connection.sendall(sent)
            return read_all(connection)

    def leave(self, longest_s: float = 5.0) -> bool:
        """Drain; return whether all was answered."""
        return asyncio.run_coroutine_threadsafe(self.carrier.leave(longest_s), self.loop).result(longest_s + 5)


@contextmanager
def carried(
    application: Application, bounds: Bounds | None = None, *, count_connections: Callable[[int], None] = lambda _: None
) -> Iterator[Carried]:
    """Carry an application for the length of a `with` block."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    listener.settimeout(0)
    loop = uvloop.new_event_loop()

    async def make() -> Carrier:
        carrier = Carrier(application, bounds=bounds, count_connections=count_connections)
        carrier.listen(listener)
        return carrier

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        carrier = asyncio.run_coroutine_threadsafe(make(), loop).result(5)
        running = Carried(port=listener.getsockname()[1], carrier=carrier, loop=loop)
        try:
            yield running
        finally:  # a loop with open connections never closes
            if carrier.leaving_since is None:
                running.leave(0.0)
            _wait_until_closed(carrier)
        assert carrier.held == 0
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        listener.close()


@asynccontextmanager
async def carried_at(path: Path, application: Application) -> AsyncIterator[Carrier]:
    """Carry an application over a Unix socket, in the running loop, for the length of an `async with` block."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0)
        carrier = Carrier(application)
        carrier.listen(listener)
        try:
            yield carrier
        finally:
            await carrier.leave(0.0)


def _wait_until_closed(carrier: Carrier) -> None:
    """Wait until what was cut off is closed, also what was only just accepted."""
    deadline = time.monotonic() + 5
    while carrier.connections or carrier._handshakes:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes; a reset counts as its end."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_responses(connection: socket.socket, number: int) -> list[tuple[int, dict[str, str], bytes]]:
    """Read so many responses: status, headers and body."""
    stream = connection.makefile("rb")
    responses = []
    for _ in range(number):
        status = int(stream.readline().split()[1])
        headers = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name] = value.strip()
        responses.append((status, headers, stream.read(int(headers["content-length"]))))
    return responses


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with method, path and body."""
    message = await receive()
    body = f"{scope['method']} {scope['path']} ".encode() + message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def waiting_for(event: threading.Event) -> tuple[Application, Callable[[], list[str]]]:
    """Make an application that answers like `echo` once the event is set, and a function that tells what came of it."""
    notes: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        notes.append("began")
        try:
            while not event.is_set():  # noqa: ASYNC110 - a thread sets it, or never: no thread may wait for it for ever
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            notes.append("cancelled")
            raise
        await echo(scope, receive, send)
        notes.append("answered")

    return application, lambda: list(notes)
