"""A barrage of malformed requests and mutated bodies, and what each of them was answered."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, cast

import uvloop

from benchmarks.http_client import HOST, Client, LostError, post
from benchmarks.judge import Judge
from benchmarks.malformed_http import SMUGGLED, Malformed, malformed_requests
from benchmarks.model_requests import require_one_picture
from benchmarks.mutated_bodies import MutatedRequest, mutated_requests
from pipeline.archive.mar import Archive

# Connections of a barrage that are open together.
_AT_ONCE = 32
# A connection whose client has said all must end within this time, in seconds.
_LONGEST_S = 15.0
# Time in which a client that keeps its side open reads what comes, in seconds.
_GLANCE_S = 0.2
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_REFUSAL = {"error", "expected", "found"}
_Request = TypeVar("_Request")
# Closing the connection resets it.
_LINGER_NOT = b"\x01\x00\x00\x00\x00\x00\x00\x00"


@dataclass
class Answers:
    """What a barrage was answered.

    Args:
        statuses: number of answers by kind of request and status; status 0 is a connection that just ended.
        faults: what should not have been, with the request that did it.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def by_status(self) -> dict[int, int]:
        """Number of answers by status."""
        totals: Counter[int] = Counter()
        for (_, status), number in self.statuses.items():
            totals[status] += number
        return dict(sorted(totals.items()))


def send_malformed(
    port: int, path: str, body: bytes, number: int, *, seed: int, per_second: float | None = None
) -> Answers:
    """Send malformed requests, each on a connection of its own, and look at all that is answered.

    Args:
        port: the server's port.
        path: path of predictions.
        body: a body that is right there, raw.
        number: number of requests.
        seed: seed of the requests.
        per_second: requests that begin in a second; None for as many as go.
    """
    answers = Answers()

    async def send(request: Malformed, place: int) -> None:
        # Most clients say all and wait; some look for a moment and go, and some are torn off.
        reply = await _Listener.ask(
            port, request.sent, goes="at once" if place % 8 == 7 else "soon" if place % 8 == 6 else ""
        )
        statuses, fault = read_replies(reply or b"", bodiless=request.sent.lstrip(b"\r\n").startswith(b"HEAD "))
        if reply is None:
            fault = f"the connection was still open after {_LONGEST_S:g} s"
        elif request.smuggles and SMUGGLED.encode() in reply:
            fault = f"a smuggled request was answered: {reply[:300]!r}"
        for status in statuses or [0]:
            answers.statuses[request.kind, status] += 1
        if fault:
            answers.faults.append(f"{request.kind}: {fault}; sent {request.sent[:300]!r}")

    uvloop.run(_send_all(malformed_requests(path, body, number, seed=seed), send, per_second))
    return answers


def send_mutated(port: int, archive: Archive, number: int, *, seed: int, per_second: float | None = None) -> Answers:
    """Send mutated bodies in good HTTP, on connections that are kept, and hold each answer against the archive's own.

    Args:
        port: the server's port.
        archive: archive that is served, of a model of one picture.
        number: number of requests.
        seed: seed of the requests.
        per_second: requests that begin in a second; None for as many as go.
    """
    answers, judge = Answers(), Judge(archive)
    serving = archive.serving
    clients = [Client(port) for _ in range(_AT_ONCE)]

    async def send(request: MutatedRequest, _: int) -> None:
        client = clients.pop()
        expected = judge.expected(request.path, request.headers, request.body)
        try:
            reply = await client.ask(post(request.path, request.body, request.headers))
        except (OSError, TimeoutError, LostError) as error:
            answers.statuses[request.kind, 0] += 1
            fault = f"no answer: {type(error).__name__}: {error}"
        else:
            answers.statuses[request.kind, reply.status] += 1
            fault = _fault_of_answer(reply.status, reply.body)
            if not fault and reply.status != 503:
                fault = judge.difference(expected, reply.status, reply.body)
        finally:
            clients.append(client)
        if fault:
            answers.faults.append(f"{request.kind}: {fault}; sent {request.headers} {request.body[:300]!r}")

    async def send_and_close() -> None:
        requests = mutated_requests(serving.name, require_one_picture(serving.inputs), number, seed=seed)
        await _send_all(requests, send, per_second)
        for client in clients:
            client.close()
        await asyncio.sleep(0)  # their connections end in the loop's next turn

    uvloop.run(send_and_close())
    return answers


def read_replies(reply: bytes, *, bodiless: bool = False) -> tuple[list[int], str]:
    """Read all that a server answered on one connection.

    Args:
        reply: its bytes.
        bodiless: whether answers have no body, as those to HEAD.

    Returns:
        The statuses, and what is wrong with the answers in one clause; the text is empty if nothing is.
    """
    statuses: list[int] = []
    fault = ""
    while reply and not fault:
        line = _STATUS_LINE.match(reply)
        head, blank, rest = reply.partition(b"\r\n\r\n")
        if line is None or not blank:
            return statuses, f"no response: {reply[:200]!r}"
        status = int(line[1])
        if status == 100:
            reply = rest
            continue
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        size = 0 if bodiless or length is None else int(length[1])
        statuses.append(status)
        body, reply = rest[:size], rest[size:]
        if length is None or len(body) < size:
            fault = f"a response of {len(body)} bytes, whose length is said to be {length and length[1]!r}"
        elif not bodiless:
            fault = _fault_of_answer(status, body)
    return statuses, fault


def _fault_of_answer(status: int, body: bytes) -> str:
    """Say what no answer may be; the text is empty where it is none of that."""
    try:
        document = json.loads(body)
    except ValueError:
        return f"{status} without JSON: {body[:200]!r}"
    if status >= 500 and status != 503:
        return f"{status}: {document}"
    if status >= 400 and set(document) != _REFUSAL:
        return f"{status} with {document}"
    return ""


async def _send_all(
    requests: Iterable[_Request], send: Callable[[_Request, int], Awaitable[None]], per_second: float | None
) -> None:
    """Send requests, some at once, each no earlier than it is due."""
    began = time.perf_counter()
    numbered: Iterator[tuple[int, _Request]] = enumerate(requests)

    async def send_some() -> None:
        for place, request in numbered:
            if per_second is not None:
                await asyncio.sleep(max(0.0, began + place / per_second - time.perf_counter()))
            await send(request, place)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(send_some())


class _Listener(asyncio.Protocol):
    """One connection on which bytes are sent, and all that comes is kept."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ended = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)

    @classmethod
    async def ask(cls, port: int, sent: bytes, *, goes: str) -> bytes | None:
        """Return what was answered; None where the connection did not end."""
        _, listener = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        transport = listener.transport
        transport.write(sent)
        whole: bytes | None = None
        try:
            if goes == "at once":
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                return b""
            if not goes and transport.can_write_eof():
                transport.write_eof()
            async with asyncio.timeout(_GLANCE_S if goes else _LONGEST_S):
                await listener.ended.wait()
            whole = b"".join(listener.chunks)
        except TimeoutError:
            whole = b"".join(listener.chunks) if goes else None
        finally:
            transport.abort()
        return whole
