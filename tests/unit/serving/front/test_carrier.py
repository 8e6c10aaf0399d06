"""HTTP/1.1 over real sockets: what is answered, what is refused, what is closed, and what a drain loses (nothing)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from pipeline.serving.front.bounds import Bounds
from pipeline.serving.front.exchange import Receive, Scope, Send
from tests.carried import Carried, carried, echo, read_all, read_responses, waiting_for

POST = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"
CHUNKS = b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
CLOSED = b"POST /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody"


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def test_a_connection_answers_one_request_after_another() -> None:
    with carried(echo) as server, server.connect() as connection:
        for _ in range(3):
            connection.sendall(POST)
            [(status, headers, body)] = read_responses(connection, 1)
            assert (status, body) == (200, b"POST /p body")
            assert headers == {"content-type": "text/plain", "content-length": "12"}


def test_pipelined_requests_are_answered_in_their_order() -> None:
    with carried(echo) as server, server.connect() as connection:
        connection.sendall(
            b"".join(b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n." % n for n in range(50))
        )
        assert [body for _, _, body in read_responses(connection, 50)] == [b"POST /%d ." % n for n in range(50)]


def test_a_request_that_comes_byte_by_byte_is_answered() -> None:
    with carried(echo) as server, server.connect() as connection:
        for byte in CLOSED:
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b"POST /p body")


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (CLOSED, b"POST /p body"),
        (b"POST /p HTTP/1.0\r\ncontent-length: 4\r\n\r\nbody", b"POST /p body"),
        (b"GET /a%20b?c=d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"GET /a b "),
        (
            b"POST /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS,
            b"POST /p body",
        ),
        # Nothing is upgraded, and the request is answered as any other.
        (b"GET /p HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", b"GET /p "),
    ],
    ids=["closed", "1.0", "address", "chunked", "upgrade"],
)
def test_the_last_response_closes(sent: bytes, body: bytes) -> None:
    with carried(echo) as server:
        response = server.ask(sent)
        assert status_of(response) == 200
        assert b"\r\nconnection: close\r\n" in response
        assert response.partition(b"\r\n\r\n")[2] == body


def test_a_head_has_no_body_but_its_length() -> None:
    with carried(echo) as server:
        response = server.ask(b"HEAD /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"content-length: 8\r\n" in response
        assert response.endswith(b"\r\n\r\n")


def test_a_client_that_asks_before_it_sends_is_told_to() -> None:
    with carried(echo) as server, server.connect() as connection:
        head, _, body = CLOSED.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_all(connection).endswith(b"POST /p body")


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        b"content-length: 4\r\ncontent-length: 40\r\n",
        b"content-length: 4\r\ncontent-length: 4\r\n",
        b"content-length: +4\r\n",
        b"content-length: 4, 4\r\n",
        b"content-length : 4\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"transfer-encoding\x0b: chunked\r\n",
        b"a: b\r\n content-length: 4\r\n",
        b"x\x00y: z\r\ncontent-length: 4\r\n",
    ],
)
def test_a_smuggled_request_is_refused_and_the_connection_closed(headers: bytes) -> None:
    inner = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    with carried(echo) as server:
        response = server.ask(b"POST /p HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n" + inner)
        assert status_of(response) == 400
        assert response.count(b"HTTP/1.1 ") == 1
        assert b'"error": "the request is no HTTP"' in response


def test_what_is_no_http_is_refused_behind_the_answers_before_it() -> None:
    with carried(echo) as server:
        response = server.ask(POST + b"\x16\x03\x01\x02\x00\x01")
        assert response.count(b"HTTP/1.1 ") == 1
        assert response.endswith(b"POST /p body")


BOUNDS = Bounds(
    head_bytes=2000, body_bytes=5000, patience_s=0.5, bytes_per_s=1000, idle_s=0.5, discard_s=0.5, leave_s=0.3
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 300_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000, 431),
        (b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 300, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 400 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5001\r\n\r\n" + b"x" * 5001, 413),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            + 2 * (b"a00\r\n%b\r\n" % (b"x" * 0xA00)),
            413,
        ),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999999\r\n\r\n", 413),
    ],
    ids=["address", "endless head", "many headers", "head", "length", "chunks", "huge length"],
)
def test_what_is_too_large_is_refused_and_its_client_gets_the_answer(sent: bytes, status: int) -> None:
    with carried(echo, BOUNDS) as server:
        response = server.ask(sent)
        assert status_of(response) == status
        assert b'"expected": "' in response


def test_an_upload_that_is_refused_while_it_is_sent_gets_its_answer() -> None:
    with carried(echo, BOUNDS) as server, server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x" * 100_000)
        assert status_of(read_all(connection)) == 413


def test_bodies_have_a_bound_together() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application, Bounds(body_bytes=5000, held_bytes=9000)) as server:
        with server.connect() as first:
            first.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n" + b"x" * 4000)
            until(lambda: notes() == ["began"])
            assert status_of(server.ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n")) == 503
            event.set()
            assert read_responses(first, 1)[0][0] == 200
        assert status_of(server.ask(b"POST / HTTP/1.0\r\nhost: x\r\ncontent-length: 4000\r\n\r\n" + b"x" * 4000)) == 200


def test_a_request_that_comes_too_slowly_is_refused_and_one_that_is_fast_enough_is_not() -> None:
    with carried(echo, BOUNDS) as server, server.connect() as slow, server.connect() as steady:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000\r\n\r\n")
        steady.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4800\r\n\r\n")
        for _ in range(16):
            steady.sendall(b"x" * 300)
            time.sleep(0.15)
        response = read_all(slow)
        assert status_of(response) == 408
        assert b"at least 1000 bytes a second" in response
        assert status_of(read_all(steady)) == 200


def test_a_connection_without_a_request_is_closed() -> None:
    with (
        carried(echo, BOUNDS) as server,
        server.connect() as silent,
        server.connect() as blank,
        server.connect() as used,
    ):
        blank.sendall(b"\r\n")
        used.sendall(POST)
        assert read_responses(used, 1)[0][0] == 200
        assert [read_all(connection) for connection in (silent, blank, used)] == [b"", b"", b""]


def test_a_client_that_reads_nothing_is_given_up() -> None:
    async def flood(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(30_000_000)})

    with carried(flood, Bounds(write_s=0.5)) as server, server.connect() as connection:
        connection.sendall(POST)
        until(lambda: server.carrier.connections == 1)
        until(lambda: server.carrier.connections == 0)
        assert len(read_all(connection)) < 30_000_000


def test_the_number_of_connections_is_told_whenever_it_changes() -> None:
    told: list[int] = []
    with carried(echo, count_connections=told.append) as server:
        with server.connect():
            until(lambda: told == [1])
            with server.connect():
                until(lambda: told == [1, 2])
        until(lambda: told == [1, 2, 1, 0])


def test_too_many_connections_push_out_the_one_that_stands_still_longest() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application, Bounds(connections=3)) as server, server.connect() as busy, server.connect() as still:
        busy.sendall(POST)
        until(lambda: notes() == ["began"])
        until(lambda: server.carrier.connections == 2)
        with server.connect() as third, server.connect() as fourth:
            assert read_all(still) == b""
            event.set()
            third.sendall(POST)
            fourth.sendall(POST)
            for connection in (busy, third, fourth):
                assert read_responses(connection, 1)[0][0] == 200


def test_a_client_that_goes_away_ends_the_work_for_it() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application) as server:
        with server.connect() as connection:
            connection.sendall(POST + POST)
            until(lambda: notes() == ["began"])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        until(lambda: notes() == ["began", "cancelled"])


def test_a_client_that_has_said_all_still_gets_its_answer() -> None:
    event = threading.Event()
    application, notes = waiting_for(event)
    with carried(application) as server, server.connect() as connection:
        connection.sendall(POST)
        connection.shutdown(socket.SHUT_WR)
        until(lambda: notes() == ["began"])
        time.sleep(0.05)
        event.set()
        assert read_all(connection).endswith(b"POST /p body")


def test_an_application_that_fails_is_a_500_and_the_next_request_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def fails_once(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fails":
            raise ValueError("planted")
        await echo(scope, receive, send)

    with carried(fails_once) as server, server.connect() as connection:
        connection.sendall(b"GET /fails HTTP/1.1\r\nhost: x\r\n\r\n" + POST)
        failed, good = read_responses(connection, 2)
        assert (failed[0], failed[2]) == (
            500,
            b'{"error":"the server failed","found":"an error, which its log describes"}',
        )
        assert good[2] == b"POST /p body"
    assert "planted" in caplog.text


class TestDrain:
    def test_what_is_under_way_is_answered_and_the_idle_are_closed(self) -> None:
        event = threading.Event()
        application, notes = waiting_for(event)
        with carried(application, BOUNDS) as server, server.connect() as busy, server.connect() as idle:
            busy.sendall(POST + POST)
            until(lambda: notes() == ["began"])
            threading.Timer(0.4, event.set).start()
            assert server.leave()
            responses = read_all(busy)
            # The second request was received too, behind the first; the drain ends the connection only after both.
            assert responses.count(b"POST /p body") == 2
            assert read_all(idle) == b""

    def test_a_request_that_comes_on_an_open_connection_is_answered(self) -> None:
        with carried(echo, BOUNDS) as server, server.connect() as connection:
            until(lambda: server.carrier.connections == 1)
            leaving = threading.Thread(target=server.leave)
            leaving.start()
            until(lambda: server.carrier.leaving_since is not None)
            connection.sendall(POST)
            assert read_all(connection).endswith(b"connection: close\r\n\r\nPOST /p body")
            leaving.join()

    def test_requests_that_come_together_are_all_answered(self) -> None:
        """They are larger together than a piece that is parsed at once."""
        large = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 3000\r\n\r\n" + bytes(3000)
        with carried(echo, BOUNDS) as server, server.connect() as connection:
            until(lambda: server.carrier.connections == 1)
            leaving = threading.Thread(target=server.leave)
            leaving.start()
            until(lambda: server.carrier.leaving_since is not None)
            connection.sendall(large + large)
            assert read_all(connection).count(b"POST /p \0") == 2
            leaving.join()

    def test_what_takes_too_long_is_cut_off_and_said(self) -> None:
        event = threading.Event()
        application, notes = waiting_for(event)
        with carried(application, BOUNDS) as server, server.connect() as busy:
            busy.sendall(POST)
            until(lambda: notes() == ["began"])
            assert not server.leave(0.3)
            assert read_all(busy) == b""

    def test_connections_that_the_kernel_took_already_are_answered(self) -> None:
        with carried(echo, BOUNDS) as server:
            server.loop.call_soon_threadsafe(time.sleep, 0.3)  # it accepts nothing meanwhile
            connections = [server.connect() for _ in range(5)]
            for connection in connections:
                connection.sendall(POST)
            assert server.leave()
            for connection in connections:
                assert read_all(connection).endswith(b"POST /p body")
                connection.close()


def test_bytes_of_all_kinds_leave_nothing_behind() -> None:
    """Every request is cut at each of its bytes, and the connection closed; `carried` asserts that nothing is held."""
    with carried(echo) as server:
        for length in range(0, len(POST), 3):
            with server.connect() as connection:
                connection.sendall(POST[:length])
        assert isinstance(server, Carried)
        until(lambda: server.carrier.connections == 0)
