"""The command as torchrun starts it: in two processes, on two machines, killed, started again, lost and come back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machines import Machines, two_machines

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "several-processes.md"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
EPOCHS = 300
LONGEST_S = 300


def _arguments(run_dir: Path, *, epochs: int = EPOCHS) -> list[str]:
    return ["-m", "pipeline", "train", "toy", "--set", f"train.epochs={epochs}", "--run-dir", str(run_dir)]


@contextmanager
def _torchrun(file: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start torchrun, its words in a file; it and its processes end with the block."""
    with file.open("wb") as stream:
        process = subprocess.Popen([*TORCHRUN, *arguments], stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()  # it ends its processes, which have sessions of their own
        process.wait(LONGEST_S)


def _wait_for(file: Path, pattern: str, process: subprocess.Popen[bytes]) -> re.Match[str]:
    end = time.monotonic() + LONGEST_S
    while (match := re.search(pattern, file.read_text(encoding="utf-8"))) is None:
        assert time.monotonic() < end, file.read_text(encoding="utf-8")
        assert process.poll() is None, file.read_text(encoding="utf-8")
        time.sleep(0.05)
    return match


def _pid_of_rank(rank: int, parent: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[1]) == parent and f"RANK={rank}".encode() in variables:
            return int(folder.name)
    raise AssertionError(rank)


def _errors(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("error: ")]


def _weights(run_dir: Path) -> bytes:
    return (run_dir / "train" / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a training by two processes in one go."""
    folder = tmp_path_factory.mktemp("whole")
    with _torchrun(folder / "said", "--nproc-per-node", "2", *_arguments(folder / "run")) as process:
        assert process.wait(LONGEST_S) == 0, (folder / "said").read_text()
    return _weights(folder / "run")


def test_the_block_of_the_page(tmp_path: Path) -> None:
    block = PAGE.read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": paths, "PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(
        ["bash", "-e", "-c", block],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    assert ended.returncode == 0, ended.stderr
    weights, *plan = ended.stdout.splitlines()
    assert weights == "runs/toy/train/weights.safetensors"
    assert plan[:2] == ["data: up to date", "train: up to date"]


def test_a_killed_process_is_named_and_the_same_command_goes_on(tmp_path: Path, whole: bytes) -> None:
    said, arguments = tmp_path / "said", ["--nproc-per-node", "2", *_arguments(tmp_path / "run")]
    with _torchrun(said, *arguments) as process:
        _wait_for(said, "epoch 20/", process)
        pid = _pid_of_rank(1, process.pid)
        os.kill(pid, signal.SIGKILL)
        assert process.wait(LONGEST_S) == 1
    (line,) = _errors(said)
    assert line.startswith("error: process 1 of 2 (on ")
    assert f"pid {pid}) ended without a word" in line
    with _torchrun(said, *arguments) as process:
        assert process.wait(LONGEST_S) == 0, said.read_text()
    assert "continues after epoch" in said.read_text()
    assert _weights(tmp_path / "run") == whole


def test_process_0_killed_is_named_by_the_other(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with _torchrun(said, "--nproc-per-node", "2", *_arguments(tmp_path / "run")) as process:
        _wait_for(said, "epoch 20/", process)
        pid = _pid_of_rank(0, process.pid)
        os.kill(pid, signal.SIGKILL)
        assert process.wait(LONGEST_S) == 1
    (line,) = _errors(said)
    assert line.startswith("error: process 0 of 2 (on ")


def test_an_interruption_is_one_line(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with _torchrun(said, "--nproc-per-node", "2", *_arguments(tmp_path / "run")) as process:
        _wait_for(said, "epoch 20/", process)
        process.send_signal(signal.SIGINT)
        process.wait(LONGEST_S)
    assert _errors(said) == ["error: interrupted; it goes on from here when it is run again"]


def test_torchrun_starts_all_of_them_again(tmp_path: Path, whole: bytes) -> None:
    said = tmp_path / "said"
    with _torchrun(said, "--nproc-per-node", "2", "--max-restarts", "1", *_arguments(tmp_path / "run")) as process:
        _wait_for(said, "epoch 20/", process)
        os.kill(_pid_of_rank(1, process.pid), signal.SIGKILL)
        assert process.wait(LONGEST_S) == 0, said.read_text()
    (line,) = _errors(said)
    assert line.endswith("; torchrun starts all of them again, 1 times more at most")
    assert "continues after epoch" in said.read_text()
    assert _weights(tmp_path / "run") == whole


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with two_machines(tmp_path) as both:
        yield both


def test_two_machines_and_one_of_them_lost(tmp_path: Path, machines: Machines, whole: bytes) -> None:
    def start(machine: str, number: int, file: str) -> subprocess.Popen[bytes]:
        shared = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "host-a", "--master-port", "29500"]
        command = [*TORCHRUN, *shared, "--node-rank", str(number), *_arguments(tmp_path / "run")]
        return machines.start(machine, command, file=file)

    first, _ = start("host-a", 0, "a"), start("host-b", 1, "b")
    _wait_for(tmp_path / "a", "epoch 20/", first)
    machines.lose("host-b")
    assert first.wait(LONGEST_S) == 1
    (line,) = _errors(tmp_path / "a")
    assert line.startswith("error: process 1 of 2 (on host-b, pid ")
    first, second = start("host-a", 0, "a"), start("host-b", 1, "b")
    assert first.wait(LONGEST_S) == 0, (tmp_path / "a").read_text()
    assert second.wait(LONGEST_S) == 0, (tmp_path / "b").read_text()
    assert "continues after epoch" in (tmp_path / "a").read_text()
    assert "train: " not in (tmp_path / "b").read_text()
    assert _weights(tmp_path / "run") == whole


def test_a_machine_that_is_lost_comes_back(tmp_path: Path, machines: Machines) -> None:
    def start(machine: str, file: str) -> subprocess.Popen[bytes]:
        meet = ["--rdzv-id", "job", "--rdzv-backend", "c10d", "--rdzv-endpoint", "host-a:29400"]
        soon = ["--rdzv-conf", "last_call_timeout=5"]
        elastic = ["--nnodes", "1:2", "--max-restarts", "3", "--nproc-per-node", "1", *meet, *soon]
        # Else a machine does not come back (torch 2.13); docs/several-processes.md says so.
        variables = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        command = [*TORCHRUN, *elastic, *_arguments(tmp_path / "run", epochs=1200)]
        return machines.start(machine, command, file=file, environment=variables)

    first = start("host-a", "a")
    start("host-b", "b")
    _wait_for(tmp_path / "a", "2 processes(?s:.)*epoch 20/", first)
    machines.lose("host-b")
    _wait_for(tmp_path / "a", "with 1 process instead of 2", first)
    second = start("host-b", "again")
    _wait_for(tmp_path / "a", "with 2 processes instead of 1", first)
    assert first.wait(LONGEST_S) == 0, (tmp_path / "a").read_text()
    assert second.wait(LONGEST_S) == 0, (tmp_path / "again").read_text()
    counts = json.loads((tmp_path / "run" / "train" / "history.json").read_text())["processes"]
    assert len(counts) == 1200
    changes = [count for place, count in enumerate(counts) if place == 0 or counts[place - 1] != count]
    assert changes == [2, 1, 2]
