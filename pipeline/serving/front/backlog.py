"""What is sent to a client, and how fast the client reads it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios

_COUNT = struct.Struct("i")
_RESET = struct.pack("ii", 1, 0)


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
        # A moment when something waited, how much was read until then, and how much was sent.
        self._began: tuple[float, int, int] | None = None

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
        return self._transport.get_write_buffer_size() > 0

    def is_read_too_slowly(self, now: float, *, patience_s: float, bytes_per_s: int) -> bool:
        """Whether a client reads slowly what waits, in the kernel as well; called about once a second.

        Args:
            now: the loop's clock, in seconds.
            patience_s: time before the speed counts, in seconds.
            bytes_per_s: lowest speed.
        """
        # The kernel takes megabytes, and tells that it has room again only once a third of them is read: a client of
        # 30 kB a second would seem to stand still for half a minute. So what waits in the kernel is asked for.
        waiting = self._transport.get_write_buffer_size() + _waiting_in_kernel(self._transport)
        read = self._sent - waiting
        if not waiting:
            self._began = None
        elif self._began is None or read >= self._began[2]:  # all that waited then is read
            self._began = now, read, self._sent
        else:
            since, before, _ = self._began
            return now - since > patience_s and read - before < (now - since) * bytes_per_s
        return False

    def tear_off(self) -> None:
        """Reset the connection: the kernel would otherwise keep megabytes, in case that they are read after all."""
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


def _waiting_in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes the kernel has taken, and the client's machine has not; 0 where that is not known."""
    try:
        number = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
    except OSError:
        return 0
    return int(_COUNT.unpack(number)[0])
