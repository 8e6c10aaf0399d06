"""How the processes of a job end; several of them in `tests/integration/test_several_processes.py`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist
from torch.distributed import HashStore  # type: ignore[attr-defined]

from pipeline.engine.launch import Launch
from pipeline.errors import DataError, ElsewhereError, FileError, JobError, PipelineError, UsageError
from pipeline.training import job_end
from pipeline.training.job_end import Place, leave
from pipeline.training.processes import LostError, Processes

HERE = socket.gethostname()
LOST = LostError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer")


def _launch(rank: int, count: int, *, restarts_left: int = 0) -> Launch:
    return Launch(rank=rank, world_size=count, local_rank=rank, restarts_left=restarts_left)


def _ends(
    errors: list[BaseException | None], *, hosts: list[str] | None = None, restarts_left: int = 0
) -> list[BaseException | None]:
    """What each process ends with; one without an error runs, or, on another host, is not heard of."""
    count, store = len(errors), HashStore()
    places = {rank: Place(host=host, pid=os.getpid()) for rank, host in enumerate(hosts or [HERE] * count)}

    def end(rank: int) -> BaseException | None:
        error = errors[rank]
        if error is None:
            return None
        processes = Processes(rank=rank, count=count, store=store)
        return leave(processes, error, places, _launch(rank, count, restarts_left=restarts_left))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(end, range(count)))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_end, "_NOTES_S", 0.3)


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


def test_a_file_that_cannot_be_read_is_no_fault_of_ours() -> None:
    _, second = _ends([LOST, PermissionError(13, "Permission denied", "/shared/run")])
    assert type(second) is FileError
    assert str(second).endswith(": /shared/run: Permission denied")


def test_a_fault_whose_text_is_like_that_of_a_lost_exchange_is_told_as_it_is() -> None:
    first, second = _ends([LOST, DataError("my_data:load: OperationalError: Connection closed")])
    assert isinstance(first, ElsewhereError)
    assert isinstance(second, DataError)


def test_a_process_of_this_machine_that_has_ended_is_named_by_the_lowest_other() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store = HashStore()
    places = {0: Place(host=HERE, pid=os.getpid()), 1: Place(host=HERE, pid=gone.pid)}
    for error in (LOST, KeyboardInterrupt()):  # torchrun may have ended this one for it
        end = leave(Processes(rank=0, count=2, store=store), error, places, _launch(0, 2))
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
    class Gone(HashStore):
        def set(self, *_arguments: object) -> None:
            raise dist.DistNetworkError("gone")

    places = {0: Place(host="elsewhere", pid=1), 1: Place(host=HERE, pid=os.getpid())}
    end = leave(Processes(rank=1, count=2, store=Gone()), LOST, places, _launch(1, 2))
    assert isinstance(end, JobError)
    assert str(end).startswith("process 0 of 2 (on elsewhere, pid 1) ended without a word")
