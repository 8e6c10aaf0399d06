"""Hundreds of connections that hardly move, and good clients beside them, which notice nothing."""

from __future__ import annotations

import json
import threading
import time

import pytest

from pipeline.archive.mar import Archive
from pipeline.serving.defaults import ServerName
from pipeline.serving.front.bounds import Bounds
from pipeline.serving.front.exchange import Receive, Scope, Send
from pipeline.serving.table import SERVERS
from tests.carried import carried, read_responses
from tests.served_clients import PIXELS, asking, metric, serving, until, worker_pids
from tests.slow_clients import SlowClients, slow_clients

PATH = "/predictions/tiny"
GOOD = b"GET /good HTTP/1.1\r\nhost: localhost\r\n\r\n"
KINDS = {"slow head", "slow body", "reads nothing", "silent"}


def large_request() -> bytes:
    """A request of many instances, which gets an answer of 100 kB."""
    body = json.dumps({"instances": [PIXELS[0].tolist()] * 256}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-pipeline-logits: 1\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def small_or_large(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"good" if scope["path"] == "/good" else bytes(1_000_000)})


def test_they_are_closed_in_time_and_cost_a_good_client_no_answer() -> None:
    bounds = Bounds(patience_s=1.0, idle_s=3.0, write_s=1.0, discard_s=0.2)
    answered = 0
    with carried(small_or_large, bounds) as server:
        large = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n"
        with slow_clients(lambda: SlowClients(server.port, PATH, 100, large=large)) as slow, server.connect() as good:
            began = time.monotonic()
            while time.monotonic() - began < 5:
                good.sendall(GOOD)
                assert [body for _, _, body in read_responses(good, 1)] == [b"good"]
                answered += 1
                time.sleep(0.005)
            assert slow.open == 100
            slow.rest()
            until(lambda: slow.open == 0 and server.carrier.connections <= 1, 10)
        assert set(slow.opened) == KINDS
        # Each was closed more than once, but for those that may be silent for a while.
        assert all(slow.closed[kind] >= 25 for kind in KINDS)
        assert slow.told[b"408"] > 100
    assert answered > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "sources", [["127.0.0.1"], [f"127.0.0.{place}" for place in range(2, 52)]], ids=["own", "other"]
)
@pytest.mark.parametrize("server", SERVERS)
def test_500_of_them_for_a_minute(archive: Archive, server: ServerName, sources: list[str]) -> None:
    with serving(archive, server) as state:
        before = worker_pids(state)
        with asking(f"{state.url}{PATH}", 4, pause_s=0.01) as good:
            with slow_clients(
                lambda: SlowClients(state.port, PATH, 500, large=large_request(), sources=sources)
            ) as slow:
                threading.Event().wait(60)
                assert slow.open > 450
                assert metric(state, "pipeline_connections") > 450
                slow.rest()
                rested = time.monotonic()
                until(lambda: slow.open == 0, 120)
            took_s = time.monotonic() - rested
        # One moment more than the longest time that a connection has: that of a silent one.
        assert took_s < Bounds().idle_s + 10
        until(lambda: metric(state, "pipeline_connections") <= 2, 10)
        outcomes = good.outcomes
        assert set(slow.opened) == KINDS
        assert slow.told[b"408"] > 500
        assert set(outcomes) <= {"200", "503"}, outcomes
        assert outcomes["200"] >= 0.999 * outcomes.total() > 200
        assert worker_pids(state) == before
        assert metric(state, "pipeline_worker_restarts_total") == 0
