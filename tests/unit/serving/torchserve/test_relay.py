"""What the front knows of TorchServe's workers: real processes, described by a server that is late, or busy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.exchange import Incoming, Response, Steps
from pipeline._handlers.frame import BEGIN_BY_HEADER, FRAME_MEDIA, pack_responses, unpack_requests
from pipeline._handlers.limits import DEADLINE_S
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.exchange import Receive, Scope, Send
from pipeline.serving.torchserve import relay
from pipeline.serving.torchserve.relay import Relay
from tests.carried import carried_at
from tests.served_models import GREY, build_archive

SLEEP = ["sleep", "600"]


class Management:
    """The part of TorchServe that describes workers."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.failed: set[int] = set()
        self.busy = False
        self.asked = 0

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked += 1
        status = {pid: "WORKER_ERROR" if pid in self.failed else "READY" for pid in self.pids}
        workers = [{"pid": pid, "status": status[pid]} for pid in self.pids]
        body = b"" if self.busy else json.dumps([{"workers": workers}]).encode()
        await send({"type": "http.response.start", "status": 503 if self.busy else 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def asked_again(self) -> None:
        """Wait until two more descriptions were asked for: what the first said is on the board by then."""
        enough = self.asked + 2
        await until(lambda: self.asked >= enough)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it waits for is written by others, in memory
            await asyncio.sleep(0.01)


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen(SLEEP) for _ in range(3)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def watching(folder: Path, management: Management) -> AsyncIterator[Board]:
    """A board that a relay keeps by what it asks, once both workers are ready."""
    archive = build_archive(folder, [GREY])
    board = Board.create(folder / "board", 2)
    path = folder / "management"
    async with carried_at(path, management):
        keeper = Relay(archive.serving, digest="d", inference=folder / "none", management=path, board=board, most=1)
        watch = asyncio.create_task(keeper.watch())
        try:
            await until(lambda: board.ready == len(management.pids))
            yield board
        finally:
            watch.cancel()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_LOOK_S", 0.05)


def test_a_worker_that_torchserve_still_names_is_lost_once(
    workers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    async def check() -> None:
        management = Management([workers[0].pid, workers[1].pid])
        async with watching(tmp_path, management) as board:
            workers[0].kill()  # nobody waits for it yet: its process id stays
            await until(lambda: board.ready == 1)
            for _ in range(5):
                await management.asked_again()
                assert board.ready == 1
            management.pids = [workers[1].pid, workers[2].pid]
            await until(lambda: board.ready == 2)
            assert sorted(row.pid for row in board.rows) == sorted(management.pids)
            assert sum(row.restarts for row in board.rows) == 1

    asyncio.run(check())


def test_an_end_that_torchserve_tells_first_is_counted(workers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    async def check() -> None:
        management = Management([workers[0].pid, workers[1].pid])
        async with watching(tmp_path, management) as board:
            management.failed = {workers[0].pid}
            await until(lambda: board.ready == 1)
            workers[0].kill()
            await until(lambda: sum(row.restarts for row in board.rows) == 1)
            management.pids = [workers[1].pid, workers[2].pid]
            await until(lambda: board.ready == 2)
            assert sum(row.restarts for row in board.rows) == 1

    asyncio.run(check())


def test_a_worker_that_torchserve_gave_up_is_counted(workers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    async def check() -> None:
        management = Management([workers[0].pid, workers[1].pid])
        async with watching(tmp_path, management) as board:
            management.pids = [workers[1].pid, workers[2].pid]
            await until(lambda: {row.pid for row in board.rows} == set(management.pids))
            assert sum(row.restarts for row in board.rows) == 1

    asyncio.run(check())


def test_workers_of_a_busy_torchserve_answer_and_of_a_lost_one_none(
    workers: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        management = Management([workers[0].pid, workers[1].pid])
        async with watching(tmp_path, management) as board:
            management.busy = True
            await management.asked_again()
            assert board.ready == 2
            monkeypatch.setattr(relay, "_SILENT_S", 0.0)
            await until(lambda: board.ready == 0)
            management.busy = False
            await until(lambda: board.ready == 2)
            assert sum(row.restarts for row in board.rows) == 0

    asyncio.run(check())


def test_a_frame_says_by_when_work_on_it_must_begin(tmp_path: Path) -> None:
    seen: list[dict[bytes, bytes]] = []

    async def inference(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"]))
        body = (await receive())["body"]
        responses = [Response(200, request.body) for request in unpack_requests(body)]
        headers = [(b"content-type", FRAME_MEDIA.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": pack_responses(responses, Steps())})

    async def check() -> None:
        archive = build_archive(tmp_path, [GREY])
        board = Board.create(tmp_path / "board", 1)
        board.rows[0].state = WorkerState.READY
        path = tmp_path / "inference"
        async with carried_at(path, inference):
            asked = Relay(archive.serving, digest="d", inference=path, management=path, board=board, most=1)
            before = time.monotonic()
            response = await asked.respond(Incoming(body=b"abc", content_type="", extras=Extras()))
        assert (response.status, response.body) == (200, b"abc")
        begin_by = float(seen[0][BEGIN_BY_HEADER.lower().encode()])
        assert begin_by - before == pytest.approx(DEADLINE_S, abs=5.0)

    asyncio.run(check())
