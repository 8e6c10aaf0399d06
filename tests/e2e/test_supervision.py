"""Servers of both kinds whose processes are killed, and that are asked to end while clients ask them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from pipeline import cli
from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.defaults import ServerName
from pipeline.serving.front.log import Events
from pipeline.serving.front.plan import EVENTS_FILE
from pipeline.serving.table import SERVERS
from tests.command_line import free_port, running
from tests.served_clients import CLASSES, PIXELS, RAW, asking, replaced, serving, until
from tests.server_processes import belonging


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerName:
    name: ServerName = request.param
    return name


def test_a_worker_that_is_killed_comes_back_and_costs_only_what_it_had(archive: Archive, server: ServerName) -> None:
    with serving(archive, server) as state:
        events = Events(Path(state.folder))
        with asking(f"{state.url}/predictions/tiny", 4) as clients:
            for _ in range(2):
                victim = lifecycle.status(state.port)[0].workers[0].pid
                enough = clients.outcomes.total() + 20
                psutil.Process(victim).kill()
                until(partial(clients.asked, enough))  # nobody hangs
                until(partial(replaced, state, victim))
        outcomes = clients.outcomes
        assert set(outcomes) <= {"200", "503", "lost"}
        # Four clients, each with one request under way: no more than that is lost each time.
        assert outcomes["lost"] <= 8
        assert outcomes["200"] > 100
        assert httpx.get(f"{state.url}/readyz").status_code == 200
        metrics = httpx.get(f"{state.url}/metrics").text
        assert next(line for line in metrics.splitlines() if line.startswith("pipeline_worker_restarts_total")) == (
            "pipeline_worker_restarts_total 2"
        ), events.new()
        if server == "asgi":
            told = [event for event in events.new() if "was ended by signal 9" in event]
            assert [event.startswith("worker 1 was ended by signal 9 (SIGKILL") for event in told] == [True, True]


@pytest.mark.parametrize("server", ["asgi", pytest.param("torchserve", marks=pytest.mark.slow)])
def test_without_a_worker_the_answer_is_503_and_soon_a_right_one_again(archive: Archive, server: ServerName) -> None:
    with serving(archive, server, workers=1) as state:
        psutil.Process(lifecycle.status(state.port)[0].workers[0].pid).kill()
        responses: list[httpx.Response] = []

        def ask() -> bool:
            with suppress(httpx.TransportError):  # a connection may have been on its way to the worker
                responses.append(httpx.post(f"{state.url}/predictions/tiny", content=PIXELS[0].tobytes(), headers=RAW))
                if responses[-1].status_code == 503:
                    assert responses[-1].headers["retry-after"] == "1"
                    assert set(responses[-1].json()) == {"error", "expected", "found"}
            return bool(responses) and responses[-1].status_code == 200

        until(ask)
        assert {response.status_code for response in responses} == {503, 200}
        assert responses[-1].json()["class_id"] == CLASSES[0]


def test_the_program_behind_the_front_comes_back_without_orphans(archive: Archive) -> None:
    with serving(archive, "torchserve", workers=1) as state:
        for _ in range(2):
            [java] = [process for process in belonging(state) if "ModelServer" in " ".join(process.info["cmdline"])]
            victim = lifecycle.status(state.port)[0].workers[0].pid
            java.kill()
            until(partial(replaced, state, victim))
            response = httpx.post(f"{state.url}/predictions/tiny", content=PIXELS[0].tobytes(), headers=RAW)
            assert (response.status_code, response.json().get("class_id")) == (200, CLASSES[0]), response.text
            assert len(belonging(state)) == 4  # the first process, the front, Java and a worker
            children = psutil.Process(state.pid).children(recursive=True)
            assert psutil.STATUS_ZOMBIE not in {process.status() for process in children}
            trees = list(Path(state.folder, "java", "models").iterdir())
            assert len(trees) <= 2
        events = Events(Path(state.folder)).new()
        assert [event for event in events if event.startswith("TorchServe was ended by signal 9")] == [*events[:2]]


@pytest.mark.parametrize("how", [pytest.param("stop", marks=pytest.mark.slow), "SIGTERM"])
@pytest.mark.parametrize("server", ["asgi", pytest.param("torchserve", marks=pytest.mark.slow)])
def test_no_request_is_lost_when_it_is_asked_to_end(archive: Archive, server: ServerName, how: str) -> None:
    with serving(archive, server) as state:
        with asking(f"{state.url}/predictions/tiny", 8) as clients:
            until(lambda: clients.outcomes["200"] > 50)
            if how == "stop":
                lifecycle.stop(state.port)
            else:
                psutil.Process(state.pid).send_signal(signal.SIGTERM)
                until(lambda: not state.alive, 20)
            ended = time.monotonic()
        assert set(clients.outcomes) <= {"200", "refused connection"}
        assert clients.answered_at < ended


@pytest.mark.parametrize("server", ["asgi", pytest.param("torchserve", marks=pytest.mark.slow)])
def test_in_the_foreground_it_ends_as_soon_as_the_server_has(archive: Archive, server: ServerName) -> None:
    command = [sys.executable, "-m", "pipeline", "serve", str(archive.path), "--server", server]
    with running([*command, "--port", str(free_port())], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "is ready" in process.stderr.readline()
        process.terminate()
        # Nothing is under way: it does not take the time that requests would have.
        assert process.wait(SERVERS[server].drain_s / 2) == 0


def test_one_that_cannot_serve_ends_with_its_reason_which_status_keeps(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(archive, "asgi", workers=1) as state:
        assert cli._run(["status"]) == 0
        model = Path(state.folder, "model", archive.serving.runtime.file)
        model.write_bytes(model.read_bytes()[:-1] + b"x")
        psutil.Process(lifecycle.status(state.port)[0].workers[0].pid).kill()
        until(lambda: not state.alive)
        for _ in range(2):
            assert cli._run(["status", "--port", str(state.port)]) == 6
            shown = capsys.readouterr().out
            assert f"{state.url}: ended: worker 1 refuses to serve: " in shown
            assert archive.serving.runtime.file in shown
        [ended] = lifecycle.ended(state.port)
        assert "it is started again in 0.1 s" in Path(ended.logs, EVENTS_FILE).read_text()
        assert lifecycle.stop(state.port) == []
        assert (lifecycle.ended(), Path(ended.logs).exists()) == ([], False)
