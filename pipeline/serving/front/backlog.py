"""What is sent to a client, and how fast the client reads it."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

_COUNT = struct.Struct("i")


class Backlog:
    """What waits until a client reads it.

    Args:
        transport: the client's connection.

    Attributes:
        room: it is done once so little waits that a further answer may be begun; None while that is so.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.room: asyncio.Future[None] | None = None
        self._transport = transport
        self._sent = 0
        # Since when something waits, and how much was read before that.
        self._began: tuple[float, int] | None = None

    def send(self, data: bytes) -> None:
        """Send bytes; what the kernel does not take waits."""
        self._sent += len(data)
        self._transport.write(data)

    def close_room(self) -> None:
        """Let no further answer be begun."""
        self.room = asyncio.get_running_loop().create_future()

    def open_room(self) -> None:
        """Let the next answer be begun."""
        if self.room is not None and not self.room.done():
            self.room.set_result(None)
        self.room = None

    def waits(self) -> bool:
        """Whether something waits that the kernel has no room for."""
        if self._transport.get_write_buffer_size():
            return True
        self._began = None
        return False

    def is_read_too_slowly(self, now: float, *, patience_s: float, bytes_per_s: int) -> bool:
        """Whether a client reads slowly, over all the time since something waits.

        Args:
            now: the loop's clock, in seconds.
            patience_s: time before the speed counts, in seconds.
            bytes_per_s: lowest speed.
        """
        # The kernel tells that it has room again only once a third of megabytes is read: a client of 30 kB a second
        # would seem to stand still for half a minute. So what waits in the kernel is asked for.
        read = self._sent - self._transport.get_write_buffer_size() - _waiting_in_kernel(self._transport)
        if self._began is None:
            self._began = now, read
            return False
        since, before = self._began
        return now - since > patience_s and read - before < (now - since) * bytes_per_s


def _waiting_in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes the kernel has taken, and the client's machine has not; 0 where that is not known."""
    try:
        number = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
    except OSError:
        return 0
    return int(_COUNT.unpack(number)[0])
