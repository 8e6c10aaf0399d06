"""How the processes of a job meet."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from pipeline.engine.launch import Launch
from pipeline.errors import ElsewhereError, UsageError
from pipeline.training import job
from tests.command_line import free_port

TEN_S = timedelta(seconds=10)


def _launch(rank: int, count: int) -> Launch:
    return Launch(rank=rank, world_size=count, local_rank=rank, restarts_left=0)


def test_all_agree_on_a_name_whatever_an_earlier_start_left_in_the_store() -> None:
    store = HashStore()
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
