"""Clients that take more than their part, and send nothing wrong: unread answers, tiny pieces, heads without end."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from pipeline.serving.front import connection as connections
from pipeline.serving.front.bounds import Bounds
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.connection import Connection
from pipeline.serving.front.exchange import Application, Receive, Scope, Send
from tests.carried import Carried, carried, echo, read_all, read_responses, waiting_for

GET = b"GET /p HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
ANSWER = bytes(200_000)


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Large:
    """An application with large answers, which it counts."""

    def __init__(self) -> None:
        self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})


def reads_little(server: Carried) -> socket.socket:
    """Connect as a client for which the kernel keeps next to nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    connection.connect(("127.0.0.1", server.port))
    return connection


def test_no_answer_is_begun_while_those_before_it_are_not_read() -> None:
    application = Large()
    with carried(application) as server, reads_little(server) as connection:
        connection.sendall(GET * 500)
        until(lambda: application.answered > 0)
        time.sleep(0.3)
        began = application.answered
        assert began < 50  # what the kernel takes, and one more
        assert sum(len(body) for _, _, body in read_responses(connection, 500)) == 500 * len(ANSWER)
    assert application.answered == 500


def test_a_client_that_sends_on_and_reads_nothing_is_given_up() -> None:
    with carried(Large(), Bounds(write_s=1.0)) as server, reads_little(server) as connection:

        def sends_on() -> None:
            for _ in range(50):  # each would add to what waits to be read
                connection.sendall(GET * 100)
                time.sleep(0.1)

        with pytest.raises(ConnectionError):
            sends_on()
        until(lambda: server.carrier.connections == 0)


@pytest.mark.parametrize("answers", [50, 3], ids=["more than it takes", "all in it"])
def test_nothing_stays_in_the_kernel_of_a_client_that_is_given_up(answers: int) -> None:
    with carried(Large(), Bounds(write_s=0.5)) as server, reads_little(server) as connection:
        connection.sendall(GET * answers)
        until(lambda: server.carrier.connections == 1)
        until(lambda: server.carrier.connections == 0)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


@pytest.mark.parametrize(("bytes_per_s", "whole"), [(200_000, False), (20_000, True)], ids=["slow", "fast enough"])
def test_answers_that_are_read_too_slowly_are_given_up(bytes_per_s: int, whole: bool) -> None:
    """The client reads 10 MB at 100 kB a second for 3 s, and the rest at once."""

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(10_000_000)})

    with carried(flood, Bounds(write_s=1.0, bytes_per_s=bytes_per_s)) as server, reads_little(server) as connection:
        connection.sendall(POST + b"\r\n")
        received = 0
        with suppress(ConnectionResetError):
            for _ in range(60):
                received += len(connection.recv(5000))
                time.sleep(0.05)
            received += len(read_all(connection))
        assert (received > 10_000_000) is whole


def test_tiny_pieces_of_a_body_take_little_more_than_their_bytes() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    body = b"2\r\nab\r\n" * 100_000 + b"0\r\n\r\n"
    with carried(application) as server, server.connect() as connection:
        tracemalloc.start()
        try:
            connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n" + body[:-5])
            until(lambda: server.carrier.held >= 200_000, 20)
            memory, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert memory < 2_000_000
        connection.sendall(body[-5:])
        until(lambda: notes() == ["began"])
        event.set()
        assert read_all(connection).endswith(b"POST /p " + b"ab" * 100_000)


class Unsent(asyncio.Transport):
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.closed
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.closed
        self.reads = True


def connect(application: Application) -> tuple[Carrier, Connection, Unsent]:
    """Connect over such a transport."""
    carrier, transport = Carrier(application), Unsent()
    connection = Connection(carrier)
    connection.connection_made(transport)
    return carrier, connection, transport


async def some_turns() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


CHUNKED = b"POST /p HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (GET * 1000, [b"GET /p "] * 1000),
        (CHUNKED, [b"POST /p " + b"x" * 5000]),
        (
            b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 8000\r\n\r\n" + b"x" * 8000 + GET * 1000,
            [b"POST /p " + b"x" * 8000] + [b"GET /p "] * 1000,
        ),
    ],
    ids=["tiny requests", "tiny parts of a body", "tiny requests behind a body"],
)
def test_what_comes_at_once_leaves_their_turns_to_the_others(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, answers: list[bytes]
) -> None:
    monkeypatch.setattr(connections, "_TURN_S", 0.0)

    async def try_it() -> None:
        _, connection, transport = connect(echo)
        connection.data_received(sent)
        turns = 0
        whole = len(b"".join(answers)) + len(answers)
        while len(transport.sent) < whole or connection.answering:
            await asyncio.sleep(0)
            turns += 1
        assert turns > len(sent) // 4096 - 3  # a body that tells its length is one piece
        assert transport.sent.count(b"HTTP/1.1 200 ") == len(answers)
        assert [part.partition(b"\r\n\r\n")[2] for part in transport.sent.split(b"HTTP/1.1 200 OK\r\n")[1:]] == answers

    asyncio.run(try_it())


def test_as_much_as_is_read_at_once_is_enough_for_a_turn() -> None:
    async def try_it() -> None:
        _, connection, transport = connect(echo)
        connection.data_received(b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        for _ in range(2):
            connection.data_received(bytes(200_000))
            assert not transport.reads
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert transport.reads
        connection.connection_lost(None)

    asyncio.run(try_it())


def test_a_client_that_goes_in_its_rest_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TURN_S", 0.0)

    async def try_it() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
        carrier, connection, transport = connect(echo)
        connection.data_received(CHUNKED)
        assert not transport.reads
        assert carrier.held > len(CHUNKED) - 10_000
        transport.close()
        connection.connection_lost(None)
        await some_turns()
        assert carrier.held == 0
        assert transport.sent == b""
        assert failures == []

    asyncio.run(try_it())


def test_a_server_that_ends_answers_what_waits_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TURN_S", 0.0)
    long = b"GET /p HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n"

    async def try_it() -> None:
        carrier, connection, transport = connect(echo)
        carrier.leaving_since = asyncio.get_running_loop().time()
        connection.data_received(long * 14)
        await some_turns()
        assert transport.sent.count(b"HTTP/1.1 200 ") == 14
        assert transport.sent.count(b"connection: close") == 1
        assert transport.closed

    asyncio.run(try_it())


def test_an_answer_that_closes_before_many_requests_still_reads_them_away() -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 503, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def try_it() -> None:
        _, connection, transport = connect(close)
        connection.data_received(GET * 300)
        await some_turns()
        assert transport.sent.count(b"HTTP/1.1 503 ") == 1
        assert transport.reads
        assert not transport.closed
        connection.connection_lost(None)

    asyncio.run(try_it())


def test_a_request_that_is_refused_costs_nobody_the_answer_before_it() -> None:
    large = (
        b"POST /p HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 300 + b"content-length: 3000000\r\n\r\n" + bytes(3_000_000)
    )
    with carried(echo) as server, server.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(GET + large,))
        sender.start()
        assert read_all(connection).endswith(b"GET /p ")
        sender.join()


@pytest.mark.parametrize(
    "sent",
    [GET * 100, POST + b"a: " + b"b" * 60_000, POST + b"content-length: 60000\r\n\r\n" + bytes(50_000)],
    ids=["tiny requests", "an unfinished head", "an unfinished body"],
)
def test_all_that_a_request_takes_is_counted(sent: bytes) -> None:
    event = threading.Event()
    application, _ = waiting_for(event)
    with carried(application) as server:
        with server.connect() as connection:
            connection.sendall(sent)
            until(lambda: server.carrier.held > 50_000)
            event.set()
        until(lambda: server.carrier.held == 0)


@pytest.mark.parametrize("together", [1, 7, 5000])
def test_of_requests_in_a_row_few_are_taken_in_at_once_and_all_are_answered(together: int) -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application) as server, server.connect() as connection:
        for _ in range(10_000 // together):
            connection.sendall(GET * together)
        until(lambda: notes() == ["began"])
        time.sleep(0.2)
        assert server.carrier.held < 700_000  # of 20 MB
        event.set()
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).count(b"HTTP/1.1 200") == 10_000 // together * together


def test_requests_that_take_too_much_together_are_not_taken() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application, Bounds(held_bytes=20_000)) as server, server.connect() as connection:
        connection.sendall(GET)
        until(lambda: notes() == ["began"])
        others = [server.connect() for _ in range(20)]
        for other in others:
            other.sendall(GET)
        refused = [other for other in others if _begins(other, b"HTTP/1.1 503")]
        assert 10 < len(refused) < 15
        assert server.carrier.held <= 20_000
        event.set()
        for other in set(others) - set(refused):
            assert _begins(other, b"HTTP/1.1 200")
        for other in others:
            other.close()


def _begins(connection: socket.socket, expected: bytes) -> bool:
    """Whether an answer begins so; False where none comes in a moment."""
    connection.settimeout(0.3)
    try:
        return connection.recv(len(expected)) == expected
    except TimeoutError:
        return False


def test_a_request_that_waits_because_nothing_is_read_was_not_slow() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application, Bounds(patience_s=0.5, bytes_per_s=100_000)) as server, server.connect() as connection:
        last = POST + b"content-length: 4\r\n\r\n"
        connection.sendall(GET * 40 + last)
        until(lambda: notes() == ["began"])
        time.sleep(2)
        event.set()
        time.sleep(0.2)
        connection.sendall(b"body")
        assert read_all(connection).count(b"HTTP/1.1 200") == 41


def test_an_address_without_end_is_refused_without_a_header_behind_it() -> None:
    with carried(echo, Bounds(head_bytes=2000)) as server:
        assert server.ask(b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_fields_behind_a_body_are_no_headers() -> None:
    heads: list[list[tuple[bytes, bytes]]] = []

    async def notes(scope: Scope, receive: Receive, send: Send) -> None:
        heads.append(scope["headers"])
        await echo(scope, receive, send)

    with carried(notes) as server:
        sent = POST + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nauthorization: Bearer x\r\nhost: other\r\n\r\n"
        assert server.ask(sent).endswith(b"POST /p x")
        assert [name for name, _ in heads[0]] == [b"host", b"connection", b"transfer-encoding"]


def test_of_two_hosts_none_is_believed() -> None:
    with carried(echo) as server:
        response = server.ask(b"GET /p HTTP/1.1\r\nhost: localhost\r\nhost: other\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b'"error": "several hosts"' in response
