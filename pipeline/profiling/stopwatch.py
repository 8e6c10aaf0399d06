"""Time the parts of a step, each without those inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the time of named blocks, which may lie in each other."""

    def __init__(self, device: torch.device) -> None:
        """Start with nothing.

        Args:
            device: device that the blocks give work to; each is waited for.
        """
        self._wait = waiter(device)
        self._inner: list[float] = []
        self.seconds: dict[str, float] = {}

    @contextmanager
    def block(self, name: str) -> Iterator[None]:
        """Add the time of a block, without that of the blocks inside it."""
        self._wait()
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            self._wait()
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent


def waiter(device: torch.device) -> Callable[[], None]:
    """Return what waits until a device has done all that it was given; on a CPU nothing has to be waited for."""
    match device.type:
        case "cuda":
            return lambda: torch.cuda.synchronize(device)
        case "mps":
            return torch.mps.synchronize
        case _:
            return lambda: None
