from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from pipeline.errors import UsageError
from pipeline.training.processes import (
    ALONE,
    LostError,
    Processes,
    current_processes,
    exchange,
    require_place,
    require_settings,
    together,
)


def test_each_takes_its_part_and_all_of_them_the_whole() -> None:
    processes = [Processes(rank=rank, count=3) for rank in range(3)]
    for count in (1, 2, 3, 7, 128):
        parts = [range(count)[member.part(count)] for member in processes]
        assert [place for part in parts for place in part] == list(range(count))
        assert tuple(map(len, parts)) == processes[0].sizes(count)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert ALONE.part(5) == slice(0, 5)


def test_one_process_exchanges_nothing() -> None:
    rows = torch.ones(2, 3)
    assert ALONE.alone
    assert ALONE.leads
    assert ALONE.from_leader(b"x") == b"x"
    assert ALONE.gather(rows, [2]) == [rows]
    ALONE.take_over([rows])
    ALONE.call_others("x")


def test_the_processes_of_a_block() -> None:
    assert current_processes() is ALONE
    with together(Processes(rank=1, count=2)):
        assert current_processes().rank == 1
    assert current_processes() is ALONE


def test_a_failed_exchange_is_told_apart() -> None:
    with pytest.raises(LostError, match=r"^closed$"), exchange():
        raise dist.DistNetworkError("closed\nat some place")
    with pytest.raises(torch.OutOfMemoryError), exchange():
        raise torch.OutOfMemoryError
    with pytest.raises(KeyError), exchange():
        raise KeyError


TWO = Processes(count=2)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"batch_size": 1}, r"^train\.batch_size = 1: expected 2 or more for 2 processes, .*start fewer processes$"),
        ({"compiled": True}, r"^train\.compile with 2 processes: expected false, .*leave it out$"),
    ],
)
def test_settings_that_several_processes_cannot_train_with_are_named(changes: dict[str, int], line: str) -> None:
    settings = {"batch_size": 2, "compiled": False} | changes
    require_settings(TWO, batch_size=2, compiled=False)
    require_settings(ALONE, batch_size=settings["batch_size"], compiled=bool(settings["compiled"]))
    with pytest.raises(UsageError, match=line):
        require_settings(TWO, batch_size=settings["batch_size"], compiled=bool(settings["compiled"]))


def test_data_and_devices_that_several_processes_cannot_train_with_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    mps, cuda = torch.device("mps"), torch.device("cuda")
    require_place(TWO, examples=2, device=CPU)
    require_place(TWO, examples=2, device=cuda)
    require_place(ALONE, examples=1, device=mps)
    with pytest.raises(UsageError, match=r"^training examples = 1: expected 2 or more for 2 processes"):
        require_place(TWO, examples=1, device=CPU)
    with pytest.raises(UsageError, match=r"^train\.device: expected cpu or cuda with 2 processes, found mps"):
        require_place(TWO, examples=2, device=mps)
    with pytest.raises(UsageError, match="expected a GPU for each process of a machine, found 1 and 2 processes"):
        require_place(Processes(count=2, local_rank=1), examples=2, device=cuda)
