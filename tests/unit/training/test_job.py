"""How a job finds itself and how it ends; several processes in `tests/integration/test_several_processes.py`."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from pipeline.engine.launch import Launch
from pipeline.errors import ElsewhereError, FileError, JobError, PipelineError, UsageError
from pipeline.training import job
from pipeline.training.processes import LostError, Processes
from tests.command_line import free_port

HERE = socket.gethostname()
LOST = LostError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer")
TEN_S = timedelta(seconds=10)


def _launch(rank: int, count: int, *, restarts_left: int = 0) -> Launch:
    return Launch(rank=rank, world_size=count, local_rank=rank, restarts_left=restarts_left)


def _ends(
    errors: list[BaseException | None], *, hosts: list[str] | None = None, restarts_left: int = 0
) -> list[BaseException | None]:
    """What each process ends with; one without an error runs, or, on another host, is not heard of."""
    count, store = len(errors), dist.HashStore()
    places = {rank: job._Place(host=host, pid=os.getpid()) for rank, host in enumerate(hosts or [HERE] * count)}

    def end(rank: int) -> BaseException | None:
        error = errors[rank]
        if error is None:
            return None
        processes = Processes(rank=rank, count=count, store=store)
        return job._leave(processes, error, places, _launch(rank, count, restarts_left=restarts_left))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(end, range(count)))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_NOTES_S", 0.3)


def test_the_same_fault_everywhere_is_told_once_by_process_0() -> None:
    faults = [UsageError("train.freeze: no"), UsageError("train.freeze: no")]
    first, second = _ends([*faults])
    assert first is faults[0]
    assert isinstance(second, ElsewhereError)
    assert second.exit_code == UsageError.exit_code


def test_a_fault_of_another_process_is_told_by_that_one_and_says_where() -> None:
    first, second = _ends([LOST, FileError("run: no manifest")])
    assert isinstance(first, ElsewhereError)
    assert first.exit_code == FileError.exit_code
    assert isinstance(second, FileError)
    assert str(second) == f"process 1 of 2 (on {HERE}, pid {os.getpid()}): run: no manifest"


def test_an_unexpected_fault_of_another_process_says_so() -> None:
    _, second = _ends([LOST, KeyError("x")])
    assert type(second) is PipelineError
    assert str(second).endswith("unexpected KeyError: 'x'; run again with --debug and report it")


def test_a_process_of_this_machine_that_has_ended_is_named_by_the_lowest_other() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store = dist.HashStore()
    places = {0: job._Place(host=HERE, pid=os.getpid()), 1: job._Place(host=HERE, pid=gone.pid)}
    for error in (LOST, KeyboardInterrupt()):  # torchrun may have ended this one for it
        end = job._leave(Processes(rank=0, count=2, store=store), error, places, _launch(0, 2))
        assert isinstance(end, JobError)
        assert str(end) == (
            f"process 1 of 2 (on {HERE}, pid {gone.pid}) ended without a word: killed, or its machine is lost; it goes "
            "on from its last checkpoint when it is run again"
        )


def test_a_process_of_another_machine_is_lost_where_an_exchange_with_it_failed() -> None:
    first, second, third = _ends([LOST, LOST, None], hosts=[HERE, HERE, "elsewhere"], restarts_left=2)
    assert isinstance(first, JobError)
    assert str(first).startswith(f"process 2 of 3 (on elsewhere, pid {os.getpid()}) ended without a word: ")
    assert str(first).endswith("; torchrun starts all of them again, 2 times more at most")
    assert isinstance(second, ElsewhereError)
    assert third is None


def test_an_interruption_of_all_is_one() -> None:
    first, second = _ends([KeyboardInterrupt(), LOST])
    assert isinstance(first, KeyboardInterrupt)
    assert isinstance(second, ElsewhereError)
    (alone, _) = _ends([KeyboardInterrupt(), None])
    assert isinstance(alone, KeyboardInterrupt)  # the other runs, and nothing says that it has failed


def test_without_the_store_each_knows_its_own_end() -> None:
    class Gone(dist.HashStore):
        def set(self, *_arguments: object) -> None:
            raise dist.DistNetworkError("gone")

    places = {0: job._Place(host="elsewhere", pid=1), 1: job._Place(host=HERE, pid=os.getpid())}
    end = job._leave(Processes(rank=1, count=2, store=Gone()), LOST, places, _launch(1, 2))
    assert isinstance(end, JobError)
    assert str(end).startswith("process 0 of 2 (on elsewhere, pid 1) ended without a word")


def test_all_agree_on_a_name_whatever_an_earlier_start_left_in_the_store() -> None:
    store = dist.HashStore()
    store.set("pipeline/hello/1", "stale")
    names: dict[int, str] = {}

    def find(rank: int) -> None:
        names[rank] = job._name(store, _launch(rank, 3), TEN_S)

    for _ in range(2):
        before = set(names.values())
        threads = [threading.Thread(target=find, args=(rank,)) for rank in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(names.values())) == 1
        assert not before & set(names.values())


@pytest.mark.parametrize("local_rank", [0, 1])
def test_a_master_that_is_not_reached_is_one_line_of_one_process(
    local_rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ("127.0.0.1", str(free_port()))
    for name, value in zip(("MASTER_ADDR", "MASTER_PORT"), address, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    launch = Launch(rank=1, world_size=2, local_rank=local_rank, restarts_left=0)
    line = (
        f"MASTER_ADDR and MASTER_PORT {':'.join(address)}: expected all 2 processes to meet there within 0.5 s, found: "
    )
    expected = (UsageError, re.escape(line)) if local_rank == 0 else (ElsewhereError, "another process")
    with pytest.raises(expected[0], match=expected[1]), job.job(launch, start=timedelta(seconds=0.5)):
        pass


def test_a_process_0_without_the_others_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match=r"found: Timed out .*; start as many as WORLD_SIZE says"),
        job.job(_launch(0, 2), start=timedelta(seconds=0.5)),
    ):
        pass
