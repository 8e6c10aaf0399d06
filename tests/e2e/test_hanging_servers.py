"""Servers of both kinds with a process that lives and does nothing: it is stopped, or its model never ends."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.asgi import member as asgi_member
from pipeline.serving.defaults import ServerName
from pipeline.serving.front.log import Events
from pipeline.serving.server import ServerState
from pipeline.serving.torchserve import configuration
from pipeline.serving.torchserve import member as torchserve_member
from tests.served_clients import PIXELS, RAW, asking, serving, until, worker_pids
from tests.served_models import GREY, build_archive
from tests.server_processes import belonging

PATH = "/predictions/tiny"
NEARLY_WHITE = np.full_like(PIXELS[0], 254)
JSON = {"content-type": "application/json"}
# The first one is answered where requests are received, the second one in a thread: it is large.
BRIEF = (NEARLY_WHITE.tobytes(), RAW)
LONG = (json.dumps({"instances": [NEARLY_WHITE.tolist()]}).encode() + b" " * 20_000, JSON)
_SOON_S = 3.0
STOPPED: list[tuple[ServerName, str]] = [("asgi", "worker"), ("torchserve", "worker"), ("torchserve", "front")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("archive"), [GREY], hangs=True)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs is noticed after a shorter time than usual."""
    for module, name in (
        (asgi_member, "LONGEST_WORK_S"),
        (configuration, "LONGEST_WORK_S"),
        (torchserve_member, "_SILENT_S"),
    ):
        monkeypatch.setattr(module, name, _SOON_S)


def process_of(state: ServerState, which: str) -> psutil.Process:
    if which == "worker":
        return psutil.Process(worker_pids(state)[0])
    [process] = [
        process
        for process in belonging(state)
        if {"front": "front_process", "Java": "ModelServer"}[which] in " ".join(process.info["cmdline"])
    ]
    return process


def well_again(state: ServerState, gone: psutil.Process) -> bool:
    """Whether a process is gone, and all workers are ready."""
    [status] = lifecycle.status(state.port)
    return not gone.is_running() and status.ready and httpx.get(f"{state.url}/readyz").status_code == 200


def assert_comes_back(archive: Archive, server: ServerName, which: str, seconds: float) -> None:
    """Stop a process under load, and wait until another one is in its place."""
    with serving(archive, server) as state:
        processes = len(belonging(state))
        with asking(f"{state.url}{PATH}", 4, pause_s=0.02) as clients:
            until(partial(clients.asked, 50))
            victim = process_of(state, which)
            victim.suspend()
            until(partial(well_again, state, victim), seconds)
            enough = clients.outcomes["200"] + 20
            until(lambda: clients.outcomes["200"] > enough)
        assert set(clients.outcomes) <= {"200", "503", "lost"}, clients.outcomes
        assert len(belonging(state)) == processes
        if which == "Java":
            told = ["front ended with code 4: no worker of TorchServe came back", "TorchServe was ended by signal 9"]
        elif server == "torchserve" and which == "worker":
            told = []  # TorchServe tells it, and ends it
        else:
            told = [f"{'worker 1' if server == 'asgi' else which} gave no sign of life for "]
        lines = [event for event in Events(Path(state.folder)).new() if "is started again" in event]
        assert [line.startswith(words) for line, words in zip(lines, told, strict=True)] == [True] * len(told), lines


@pytest.mark.parametrize(
    ("server", "which"), [("asgi", "worker"), pytest.param("torchserve", "front", marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("soon")
def test_a_stopped_process_is_replaced(archive: Archive, server: ServerName, which: str) -> None:
    assert_comes_back(archive, server, which, 30)


@pytest.mark.slow
@pytest.mark.parametrize(("server", "which"), [*STOPPED, ("torchserve", "Java")])
def test_a_stopped_process_is_replaced_after_the_time_that_is_promised(
    archive: Archive, server: ServerName, which: str
) -> None:
    assert_comes_back(archive, server, which, 120)


@pytest.mark.parametrize(
    ("server", "request_"),
    [("asgi", BRIEF), ("asgi", LONG), pytest.param("torchserve", BRIEF, marks=pytest.mark.slow)],
    ids=["asgi", "asgi in its thread", "torchserve"],
)
@pytest.mark.usefixtures("soon")
def test_a_model_that_never_ends_costs_a_worker_and_no_more(
    archive: Archive, server: ServerName, request_: tuple[bytes, dict[str, str]]
) -> None:
    content, headers = request_
    with serving(archive, server) as state:
        workers = [psutil.Process(pid) for pid in worker_pids(state)]
        with asking(f"{state.url}{PATH}", 4, pause_s=0.02) as clients:
            until(partial(clients.asked, 50))
            with suppress(httpx.RemoteProtocolError):  # the worker had the connection
                answer = httpx.post(f"{state.url}{PATH}", content=content, headers=headers, timeout=30)
                assert answer.status_code == 503
            until(lambda: not all(worker.is_running() for worker in workers))
            [gone] = [place for place, worker in enumerate(workers) if not worker.is_running()]
            until(partial(well_again, state, workers[gone]))
        # Of each of these clients a request may have been with that worker, and of the front one more.
        assert set(clients.outcomes) <= {"200", "503", "lost"}, clients.outcomes
        assert clients.outcomes["lost"] + clients.outcomes["503"] <= 8
        if server == "asgi":
            lines = [event for event in Events(Path(state.folder)).new() if "is started again" in event]
            reason = f"worker {gone + 1} gave no sign of life for 3 s, and was killed"
            assert lines == [f"{reason}; it is started again in 0.1 s"]
