"""Starts a coroutine at once, and goes on with it when what it waits for is done.

A task takes its first step a turn of the loop later (from Python 3.12 on it may be eager), and costs more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Begun | None:
    """Run a coroutine until it waits or ends.

    It is in no task: what needs one fails in it (`asyncio.timeout`, `asyncio.TaskGroup`).

    Args:
        coroutine: what is run.
        loop: the running loop.

    Returns:
        The coroutine, which goes on by itself; None where it has ended.

    Raises:
        Exception: what it raised before it waited. What it raises later is told to the loop's exception handler.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return Begun(coroutine, loop, waits_for)


class Begun:
    """A coroutine that waits.

    Args:
        coroutine: the coroutine.
        loop: the running loop.
        waits_for: what it waits for; None is one turn of the loop.
    """

    __slots__ = ("_cancelled", "_coroutine", "_loop", "_waits_for")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, None],
        loop: asyncio.AbstractEventLoop,
        waits_for: asyncio.Future[Any] | None,
    ) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._cancelled = False
        self._wait(waits_for)

    def cancel(self) -> None:
        """Cancel what it waits for; where that is done already, it learns in its next step that it is cancelled."""
        if self._waits_for is None or not self._waits_for.cancel():
            self._cancelled = True

    def _wait(self, waits_for: asyncio.Future[Any] | None) -> None:
        self._waits_for = waits_for
        if waits_for is None:
            self._loop.call_soon(self._go_on)
        else:
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 - as a task does: others may wait for it too
            waits_for.add_done_callback(self._go_on)
            if self._cancelled and waits_for.cancel():  # it was told so in the middle of its own step
                self._cancelled = False

    def _go_on(self, _: object = None) -> None:
        cancelled, self._cancelled, self._waits_for = self._cancelled, False, None
        try:
            waits_for = self._coroutine.throw(asyncio.CancelledError()) if cancelled else self._coroutine.send(None)
        except (StopIteration, asyncio.CancelledError):
            return
        except Exception as error:  # noqa: BLE001 - whoever began it has gone on
            self._loop.call_exception_handler({"message": f"{self._coroutine} failed", "exception": error})
            return
        self._wait(waits_for)
