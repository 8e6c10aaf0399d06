"""Choose where training runs, and make it repeatable there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.utils.deterministic
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.recipe.names import DeviceName


def choose_device(name: DeviceName) -> torch.device:
    """Choose the device that a recipe names; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: the named device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    if not there[name]:
        available = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise UsageError(f'train.device: expected one of this machine ({available}), found {name}; "auto" chooses one')
    return torch.device(name)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms and a separate random state inside; the process's settings are restored afterwards.

    Args:
        device: device on which the work runs.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    benchmark = torch.backends.cudnn.benchmark
    if device.type == "cuda":
        # cuBLAS is repeatable only with a fixed workspace (its documentation, "Results reproducibility").
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        # A user's network may use an operator without a deterministic form: torch warns and still trains.
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        # Filling every new tensor costs a quarter of the time here and finds only reads of uninitialised memory.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = benchmark


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The global random states of torch that work on a device draws from, by device type."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the state that `random_state` returned for the same device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps":
        torch.mps.set_rng_state(state["mps"])
