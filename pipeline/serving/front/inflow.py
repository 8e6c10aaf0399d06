"""What comes from a client faster than it is parsed: nothing more is read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Inflow:
    """What came on a connection and waits to be parsed: until answers are sent, or only for the loop's next turn.

    Args:
        transport: the client's connection.
        loop: the running loop.
        parse: called to go on, with what waited, and for how long nothing was read, in seconds.

    Attributes:
        unread: what waits.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, parse: Callable[[bytes, float], None]
    ) -> None:
        self.unread = b""
        self._transport = transport
        self._loop = loop
        self._parse = parse
        self._since: float | None = None
        self._rests = False

    @property
    def paused(self) -> bool:
        """Whether what comes has to wait."""
        return self._since is not None

    @property
    def waits_for_answers(self) -> bool:
        """Whether it waits until somebody calls `go_on`."""
        return self._since is not None and not self._rests

    def pause(self) -> None:
        """Read no more for now."""
        self._since = self._loop.time()
        self._transport.pause_reading()

    def rest(self) -> None:
        """Leave the rest of this turn of the loop to the others."""
        self.pause()
        self._rests = True
        self._loop.call_soon(self._end_rest)

    def go_on(self) -> None:
        """Parse what waited, and read again unless that pauses it anew."""
        paused_s = self._loop.time() - self._since if self._since is not None else 0.0
        self._since = None
        unread, self.unread = self.unread, b""
        self._parse(unread, paused_s)
        if self._since is None:
            self._transport.resume_reading()

    def _end_rest(self) -> None:
        self._rests = False
        if self._since is not None and not self._transport.is_closing():
            self.go_on()
