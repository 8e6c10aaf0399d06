"""A client for many connections of one process: requests are bytes, answers are parsed by llhttp."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools

HOST = "127.0.0.1"


class LostError(Exception):
    """The connection ended before the answer was there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a server answered.

    Args:
        status: the HTTP status.
        headers: names in lower case, and values.
        body: the whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Write a request.

    Args:
        path: the path.
        body: the whole body.
        headers: headers beside the host and the length.
    """
    lines = [("host", "localhost"), ("content-length", str(len(body))), *headers]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


@dataclass
class _Incoming:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One connection, with one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.open = False
        self._parser = httptools.HttpResponseParser(self)
        self._incoming = _Incoming()
        self._waiter: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.open = True

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(LostError(str(error or "closed")))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.transport.abort()
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(LostError(f"no HTTP: {error}"))

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, chunk: bytes) -> None:
        self._incoming.chunks.append(chunk)

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if not self._parser.should_keep_alive():
            self.open = False
        if self._waiter is not None and not self._waiter.done():
            reply = Reply(
                status=self._parser.get_status_code(), headers=incoming.headers, body=b"".join(incoming.chunks)
            )
            self._waiter.set_result(reply)

    def send(self, request: bytes) -> asyncio.Future[Reply]:
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiter


class Client:
    """A client that asks one thing after the other on a connection that it keeps, and makes another where that ended.

    Args:
        port: port of the server on this machine.
        source: address of this machine that it asks from.
        timeout_s: longest wait for an answer, in seconds.
    """

    def __init__(self, port: int, *, source: str = HOST, timeout_s: float = 20.0) -> None:
        self._port = port
        self._source = source
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None

    async def ask(self, request: bytes) -> Reply:
        """Send a request, and return what is answered.

        Args:
            request: all of its bytes.

        Raises:
            LostError: the connection ended before the answer was there.
            TimeoutError: there was no answer in time.
            OSError: no connection could be made.
        """
        async with asyncio.timeout(self._timeout_s):
            connection = self._connection
            if connection is None or not connection.open:
                self.close()
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(
                    _Connection, HOST, self._port, local_addr=(self._source, 0)
                )
                self._connection = connection
            try:
                return await connection.send(request)
            except asyncio.CancelledError:
                self.close()
                raise

    def close(self) -> None:
        """Close its connection."""
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None
