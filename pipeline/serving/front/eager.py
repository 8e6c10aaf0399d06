"""Starts a coroutine at once; a task is made only where it has to wait (as asyncio's eager tasks, from Python 3.12 on).

A task's first step comes a turn of the loop later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """Run a coroutine until it waits or ends.

    Until it waits for the first time it is in no task: `asyncio.timeout` and `asyncio.current_task` do not work there.

    Args:
        coroutine: what is run.
        loop: the running loop.

    Returns:
        The task that goes on with it; None where it has ended.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    if waits_for is not None:
        waits_for._asyncio_future_blocking = False  # noqa: SLF001 - as a task does: others may wait for it too
    return loop.create_task(_Begun(coroutine, waits_for))


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine that was begun, for the task that goes on with it.

    Args:
        coroutine: the coroutine.
        waits_for: what it waits for; None is one turn of the loop.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: asyncio.Future[Any] | None) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def send(self, value: Any) -> Any:
        """Let the task wait for the same first; then go on."""
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is not None and not waits_for.done():
            return next(waits_for.__await__())
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Tell the coroutine; what a task waits for in its first step, it does not know."""
        waits_for, self._waits_for = self._waits_for, None
        if waits_for is not None:
            waits_for.cancel()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        """Go on."""
        return self._coroutine.__await__()
