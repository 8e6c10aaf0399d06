from __future__ import annotations

import re

import pytest

from pipeline.engine.launch import Launch, read_launch
from pipeline.errors import UsageError

SECOND = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def test_what_torchrun_says() -> None:
    assert read_launch(SECOND) == Launch(rank=1, world_size=2, local_rank=1, restarts_left=0)
    restarted = {"TORCHELASTIC_RESTART_COUNT": "1", "TORCHELASTIC_MAX_RESTARTS": "3"}
    assert read_launch(SECOND | restarted) == Launch(rank=1, world_size=2, local_rank=1, restarts_left=2)
    without = {name: value for name, value in SECOND.items() if name != "LOCAL_RANK"}
    assert read_launch(without) == Launch(rank=1, world_size=2, local_rank=0, restarts_left=0)


def test_a_process_by_itself() -> None:
    assert read_launch({}) is None
    assert read_launch(SECOND | {"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert read_launch({"RANK": "0", "WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_what_is_missing_is_named(missing: str) -> None:
    environment = {name: value for name, value in SECOND.items() if name != missing}
    first = "WORLD_SIZE = 2" if missing == "RANK" else "RANK = 1"
    line = f"{first} in the environment: expected {missing} beside it, as torchrun sets them, found none; start "
    with pytest.raises(UsageError, match=re.escape(line)):
        read_launch(environment)


@pytest.mark.parametrize(
    ("name", "value", "span"),
    [
        ("RANK", "2", "from 0 to 1"),
        ("RANK", "-1", "from 0 to 1"),
        ("WORLD_SIZE", "two", "of 1 or more"),
        ("WORLD_SIZE", "0", "of 1 or more"),
        ("MASTER_PORT", "70000", "from 1 to 65535"),
    ],
)
def test_what_is_no_such_number_is_named(name: str, value: str, span: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} = {value} in the environment: expected a whole number {span}; "):
        read_launch(SECOND | {name: value})
