"""Malformed requests and mutated bodies by the thousand against a server of each kind, and good clients beside."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from benchmarks.barrage import Answers, send_malformed, send_mutated
from pipeline.archive.mar import Archive
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS
from tests.served_clients import PIXELS, Clients, asking, metric, serving, worker_pids

PATH = "/predictions/tiny"
MALFORMED = [1000, pytest.param(10_000, marks=pytest.mark.slow)]
MUTATED = [2000, pytest.param(20_000, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SERVERS)
def server(archive: Archive, request: pytest.FixtureRequest) -> Iterator[ServerState]:
    with serving(archive, request.param) as state:
        yield state


@pytest.fixture
def good(server: ServerState) -> Iterator[Clients]:
    """Good clients beside a barrage; all of their answers are right, and no worker is replaced meanwhile."""
    before = worker_pids(server)
    with asking(f"{server.url}{PATH}", 2, pause_s=0.005) as clients:
        yield clients
    assert set(clients.outcomes) == {"200"}
    assert clients.outcomes["200"] > 20
    assert worker_pids(server) == before
    assert metric(server, "pipeline_worker_restarts_total") == 0
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def assert_told(answers: Answers, number: int) -> None:
    assert answers.faults == []
    assert sum(answers.by_status.values()) >= number
    # Most of them are refused, and some are right by chance: else the generator is not worth its name.
    assert answers.by_status[400] > number / 4
    assert answers.by_status[200] > number / 50


@pytest.mark.parametrize("number", MALFORMED)
@pytest.mark.usefixtures("good")
def test_what_is_no_http_is_refused_and_costs_nobody_anything(server: ServerState, number: int) -> None:
    assert_told(send_malformed(server.port, PATH, PIXELS[0].tobytes(), number, seed=number), number)


@pytest.mark.parametrize("number", MUTATED)
@pytest.mark.usefixtures("good")
def test_bodies_that_were_right_once_get_the_answer_that_the_file_gives(
    server: ServerState, archive: Archive, number: int
) -> None:
    assert_told(send_mutated(server.port, archive, number, seed=number), number)
