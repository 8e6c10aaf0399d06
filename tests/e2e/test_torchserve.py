"""A real TorchServe from its start to its end: who refuses to serve, and that nothing is left however it ends."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline.archive.mar import Archive, read_archive
from pipeline.errors import ServerError
from pipeline.serving import lifecycle
from pipeline.serving.address import endpoint_of
from pipeline.serving.client import predict_logits
from pipeline.serving.server import ServerState, Worker
from pipeline.serving.state import read_states
from pipeline.serving.table import SERVERS
from pipeline.serving.torchserve import configuration
from pipeline.serving.workers import prove_workers
from tests.command_line import running
from tests.served_models import GREY, TABLE, build_archive, weights
from tests.server_processes import assert_nothing_left, belonging, gone

# A foreground server in a process of its own, as the command line runs it.
SERVE = (
    "import sys; from pathlib import Path\n"
    "from pipeline.archive.mar import read_archive; from pipeline.serving.lifecycle import serve\n"
    "class Tell:\n"
    "    def log(self, message): print(message, flush=True)\n"
    "    def progress(self, *_): pass\n"
    "archive = read_archive(Path(sys.argv[1]))\n"
    "try: serve(archive, port=None, workers=1, detach=sys.argv[2] == 'detach', reporter=Tell())\n"
    "except KeyboardInterrupt: sys.exit(130)\n"
)


@contextlib.contextmanager
def started(archive: Archive, how: str) -> Iterator[tuple[subprocess.Popen[str], ServerState]]:
    command = [sys.executable, "-c", SERVE, str(archive.path), how]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        assert line.endswith(f"/predictions/{archive.serving.name} is ready, 1 worker(s)\n")
        (state,) = [one for one in read_states() if one.model == archive.serving.name]
        yield process, state


def test_a_worker_that_differs_refuses_and_says_why(tmp_path: Path) -> None:
    before = read_states()
    wrong = build_archive(tmp_path, [GREY], name="wrong", golden_shift=0.01)
    with pytest.raises(ServerError) as caught:
        lifecycle.serve(wrong, port=None)
    line = str(caught.value)
    assert " refuses to serve: candidate float.onnx.fp32: golden answers differ at batch size 1: at [0, 0]: " in line
    for part in ("limit", "CPU", "onnxruntime", "numpy"):
        assert part in line
    assert read_states() == before
    assert not [process for process in psutil.process_iter(["cmdline"]) if "wrong" in (process.info["cmdline"] or [])]


def test_a_worker_that_is_replaced_or_hangs_while_it_is_proven(archive: Archive) -> None:
    with lifecycle.running_server(archive.path, workers=2) as state:

        def describe() -> tuple[Worker, ...]:
            return SERVERS[state.server].workers(state)

        def prove(seconds: float) -> None:
            workers = iter([before])  # the first description is of before
            prove_workers(
                endpoint_of(state),
                archive,
                lambda: next(workers, None) or describe(),
                deadline=time.monotonic() + seconds,
            )

        before = describe()
        psutil.Process(before[0].pid).kill()
        prove(60)
        assert {worker.pid for worker in describe()} != {worker.pid for worker in before}

        before = describe()
        for worker in before:
            psutil.Process(worker.pid).suspend()
        with pytest.raises(
            ServerError, match=r"expected golden answers from every worker, found none in time from \d+ \(process"
        ):
            prove(2)


def test_detached_torchscript_server_lives_until_it_is_stopped(tmp_path: Path) -> None:
    table = build_archive(tmp_path, [TABLE], name="table", kind="torchscript")
    with started(table, "detach") as (process, state):
        assert process.wait(timeout=60) == 0
    assert state.archive == str(table.path)
    body = b'{"instances": [[1, 0, -1, 2], [0, 0, 0, 0]]}'
    answer = predict_logits(endpoint_of(state), body, "application/json")
    expected = np.array([[1, 0, -1, 2], [0, 0, 0, 0]], np.float32) @ weights(4)
    np.testing.assert_allclose(answer.values, expected, rtol=1e-5, atol=1e-6)
    assert answer.digest == read_archive(table.path).digest
    assert len(belonging(state)) == 4  # the first process, the front, Java and a worker
    assert lifecycle.stop(state.port) == [state]
    assert_nothing_left(state)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_interrupted_in_the_foreground(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with started(build_archive(tmp_path, [GREY], name="front"), "foreground") as (process, state):
        process.send_signal(number)
        assert process.wait(timeout=60) == code
    assert_nothing_left(state)


def test_stopped_from_elsewhere_the_foreground_ends_well(tmp_path: Path) -> None:
    with started(build_archive(tmp_path, [GREY], name="front"), "foreground") as (process, state):
        lifecycle.stop(state.port)
        assert process.wait(timeout=60) == 0
    assert_nothing_left(state)


def test_killed_while_its_workers_start_it_takes_them_along(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [GREY], name="early")
    state: ServerState | None = None
    starting = False
    with running([sys.executable, "-c", SERVE, str(archive.path), "foreground"]) as process:
        while not starting:
            assert process.poll() is None
            state = next((one for one in read_states() if one.model == "early"), None)
            starting = state is not None and any("--sock-name" in one.info["cmdline"] for one in belonging(state))
    assert state is not None
    assert not state.ready
    deadline = time.monotonic() + 60
    while not gone(state) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [one for one in read_states() if one.model == "early"] == []
    assert_nothing_left(state)


def test_killed_in_the_foreground_it_takes_its_server_along(tmp_path: Path) -> None:
    with started(build_archive(tmp_path, [GREY], name="front"), "foreground") as (process, state):
        process.kill()
        process.wait(timeout=60)
    deadline = time.monotonic() + 60
    while not gone(state) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [one for one in read_states() if one.model == "front"] == []
    assert_nothing_left(state)


@pytest.mark.slow
def test_its_log_is_turned_over_before_it_is_large(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_LOG_BYTES", 2000)
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 6), np.uint8)).save(buffer, format="TIFF", compression="tiff_lzw")
    broken = buffer.getvalue().replace(b"\x80\x00", b"\xff\xff", 1)  # libtiff says a line of its own
    with lifecycle.running_server(archive, workers=1) as state:
        for _ in range(100):
            assert httpx.post(f"{state.url}/predictions/tiny", content=broken).status_code == 400
        logs = {path.name: path.stat().st_size for path in Path(state.folder).glob("server.log*")}
    assert set(logs) == {"server.log", "server.log.1", "server.log.2"}
    assert max(logs.values()) < 4000
