"""Connections over a Unix socket to a real HTTP server: answers, errors, and servers that go away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline._handlers.exchange import WORKER_HEADER
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.exchange import Receive, Scope, Send
from pipeline.serving.torchserve.link import LinkError, Links
from tests.carried import carried_at


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, and with who answered; say nothing at /silent."""
    body = (await receive())["body"]
    if scope["path"] == "/silent":
        await asyncio.sleep(30)
    headers = [(b"content-type", b"text/x"), (WORKER_HEADER.encode(), b"77")]
    await send({"type": "http.response.start", "status": 404 if scope["path"] == "/none" else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def run(folder: Path, work: Callable[[Links, Carrier], Awaitable[Any]]) -> Any:
    """Run something beside a server that listens in the folder."""

    async def both() -> Any:
        async with carried_at(folder / "socket", application) as carrier:
            links = Links(folder / "socket")
            try:
                return await work(links, carrier)
            finally:
                links.drop()

    return asyncio.run(both())


def test_answers_come_whole_over_one_connection(tmp_path: Path) -> None:
    async def work(links: Links, carrier: Carrier) -> None:
        for size in (0, 5, 3_000_000):
            answer = await links.ask("POST", "/x", bytes(size), headers={"content-type": "a/b"}, timeout_s=5)
            assert (answer.status, answer.media, answer.worker, answer.body) == (200, "text/x", 77, bytes(size))
        assert (await links.ask("GET", "/none", timeout_s=5)).status == 404
        assert carrier.connections == 1

    run(tmp_path, work)


def test_requests_side_by_side_have_a_connection_each(tmp_path: Path) -> None:
    async def work(links: Links, carrier: Carrier) -> None:
        bodies = [str(number).encode() for number in range(8)]
        answers = await asyncio.gather(*(links.ask("POST", "/x", body, timeout_s=5) for body in bodies))
        assert [answer.body for answer in answers] == bodies
        assert carrier.connections == 8

    run(tmp_path, work)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    async def work(links: Links, _: Carrier) -> None:
        with pytest.raises(LinkError, match=r"no answer within 0\.1 s"):
            await links.ask("GET", "/silent", timeout_s=0.1)
        assert (await links.ask("GET", "/x", timeout_s=5)).status == 200

    run(tmp_path, work)


def test_connections_that_are_dropped_fail_at_once(tmp_path: Path) -> None:
    async def work(links: Links, _: Carrier) -> None:
        waiting = asyncio.ensure_future(links.ask("GET", "/silent", timeout_s=20))
        await asyncio.sleep(0.1)
        links.drop()
        with pytest.raises(LinkError, match="the connection ended"):
            await asyncio.wait_for(waiting, 2)

    run(tmp_path, work)


def test_a_server_that_ended_meanwhile_is_connected_to_anew(tmp_path: Path) -> None:
    async def work(links: Links, carrier: Carrier) -> None:
        await links.ask("GET", "/x", timeout_s=5)
        for connection in tuple(carrier._connections):
            connection.close_now()
        await asyncio.sleep(0.1)
        assert (await links.ask("GET", "/x", timeout_s=5)).status == 200

    run(tmp_path, work)


def test_no_server_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    async def ask() -> None:
        await Links(tmp_path / "none.sock").ask("GET", "/x", timeout_s=1)

    with pytest.raises(LinkError, match=r"none\.sock: No such file or directory"):
        asyncio.run(ask())
