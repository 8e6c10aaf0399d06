"""What `torchrun` tells each of several processes that train one network together, by environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import UsageError

# torchrun sets these four, and so must whatever else starts the processes.
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One of several processes that were started together.

    Args:
        rank: number of this process, from 0.
        world_size: number of processes, two or more.
        local_rank: number of this process on its machine, from 0.
        restarts_left: how often torchrun starts all of them again after one has ended.
    """

    rank: int
    world_size: int
    local_rank: int
    restarts_left: int


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Read which of several processes this one is; None for a process by itself, even one that torchrun started.

    Args:
        environment: environment variables.

    Raises:
        UsageError: a variable is missing beside the others, or is no number that fits.
    """
    names = ("RANK", "WORLD_SIZE")
    if environment.get("WORLD_SIZE") == "1" or not any(environment.get(name) for name in names):
        return None
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        found = next(name for name in names if environment.get(name))
        raise UsageError(
            f"{found} = {environment[found]} in the environment: expected {', '.join(missing)} beside it, as torchrun "
            f"sets them, found none; start several processes with torchrun, or unset {found}"
        )
    world_size = _number(environment, "WORLD_SIZE", lowest=1)
    rank = _number(environment, "RANK", lowest=0, below=world_size)
    _number(environment, "MASTER_PORT", lowest=1, below=1 << 16)
    restarts = int(environment.get("TORCHELASTIC_MAX_RESTARTS", 0)) - int(
        environment.get("TORCHELASTIC_RESTART_COUNT", 0)
    )
    return Launch(
        rank=rank,
        world_size=world_size,
        local_rank=_number(environment, "LOCAL_RANK", lowest=0) if environment.get("LOCAL_RANK") else 0,
        restarts_left=max(0, restarts),
    )


def _number(environment: Mapping[str, str], name: str, *, lowest: int, below: int | None = None) -> int:
    text = environment[name]
    if not text.isdecimal() or int(text) < lowest or (below is not None and int(text) >= below):
        span = f"from {lowest} to {below - 1}" if below is not None else f"of {lowest} or more"
        raise UsageError(
            f"{name} = {text} in the environment: expected a whole number {span}; start several processes with torchrun"
        )
    return int(text)
