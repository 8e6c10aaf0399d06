"""What carries an ASGI application over HTTP/1.1 in one process: it accepts connections, watches them, and drains.

The listening socket is shared by all processes of a server. Each takes one connection at a time, and leaves it to the
others while it has more than its part: the kernel would hand all of a burst to the first one that wakes up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections.abc import Callable

from pipeline.serving.front.bounds import Bounds
from pipeline.serving.front.connection import Connection
from pipeline.serving.front.exchange import Application

_LOGGER = logging.getLogger(__name__)
_LOOK_S = 1.0
# Time for which a connection is left to another process, in seconds; then it is taken anyway.
_LEFT_S = 0.001
# Pause where no connection can be accepted, in seconds.
_NO_ROOM_S = 0.1
_HANDSHAKE_S = 10.0
# Files that a process has open besides its connections.
_OTHER_FILES = 64


def _no_wait() -> bool:
    return False


def _uncounted(_: int) -> None:
    pass


class Carrier:
    """All connections of one process.

    Args:
        application: the ASGI application.
        bounds: bounds on what clients may take.
        tls: certificate and key; None for plain HTTP.
        has_more_than_its_part: whether this process should leave a new connection to another one.
        count_refusal: called with the status of each answer that the application does not give itself.
        count_connections: called with the number of open connections whenever it changes.

    Attributes:
        loop: the event loop.
        bounds: see above.
        application: see above.
        held: bytes of the bodies that are received or wait for their answers.
        leaving_since: when the server began to end, on the loop's clock; None while it goes on.
    """

    def __init__(
        self,
        application: Application,
        *,
        bounds: Bounds | None = None,
        tls: ssl.SSLContext | None = None,
        has_more_than_its_part: Callable[[], bool] = _no_wait,
        count_refusal: Callable[[int], None] = _uncounted,
        count_connections: Callable[[int], None] = _uncounted,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.application = application
        self.bounds = bounds or Bounds()
        self.count_refusal = count_refusal
        self._count_connections = count_connections
        self.held = 0
        self.leaving_since: float | None = None
        self._tls = tls
        self._has_more_than_its_part = has_more_than_its_part
        self._connections: set[Connection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(1, min(self.bounds.connections, files - _OTHER_FILES))
        self._look = self.loop.call_later(_LOOK_S, self._look_at_all)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def listen(self, listener: socket.socket) -> None:
        """Accept connections from now on.

        Args:
            listener: a listening, non-blocking TCP or Unix socket.
        """
        self._listener = listener
        self.loop.add_reader(listener, self._accept)

    def ignore(self) -> None:
        """Accept no more connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.loop.remove_reader(listener)

    async def leave(self, longest_s: float) -> bool:
        """End: close the listening socket, answer what came, and close.

        Args:
            longest_s: longest time for it, in seconds; then what is left is cut off.

        Returns:
            Whether all was answered.
        """
        began = self.leaving_since = self.loop.time()
        listener = self._listener
        self.ignore()
        if listener is not None:
            listener.listen(0)  # no more come while those that the kernel took already are accepted
            while self._accept_from(listener):
                pass
            listener.close()
        while self._connections or self._handshakes:
            now = self.loop.time()
            if now - began > longest_s:
                break
            for connection in tuple(self._connections):
                connection.look(now)
            await asyncio.sleep(0.02)
        cut = tuple(self._connections)
        for connection in cut:
            connection.close_now()
        self._look.cancel()
        return not any(connection.answering for connection in cut)

    def add(self, connection: Connection) -> None:
        """Count a connection that was made; one that achieves nothing makes room for it where there are too many."""
        self._connections.add(connection)
        self._count_connections(len(self._connections))
        if len(self._connections) > self._most:
            idle = [other for other in self._connections if other is not connection and not other.answering]
            min(idle or [connection], key=lambda other: other.moved).close_now()

    def remove(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self._connections.discard(connection)
        self._count_connections(len(self._connections))

    def _accept(self) -> None:
        if self._listener is None:
            return
        if self._has_more_than_its_part():
            self.loop.remove_reader(self._listener)
            self.loop.call_later(_LEFT_S, self._accept_what_was_left)
            return
        self._accept_from(self._listener)

    def _accept_what_was_left(self) -> None:
        if self._listener is not None:
            self.loop.add_reader(self._listener, self._accept)
            self._accept_from(self._listener)

    def _accept_from(self, listener: socket.socket) -> bool:
        """Accept one connection; tell whether there was one."""
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return False
        except OSError as error:  # too many open files, or no memory
            _LOGGER.warning("a connection cannot be accepted: %s", error.strerror)
            self.loop.remove_reader(listener)
            self.loop.call_later(_NO_ROOM_S, self._accept_what_was_left)
            return False
        accepted.settimeout(0)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self.loop.create_task(self._connect(accepted))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        return True

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: Connection(self),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S if self._tls is not None else None,
            )
        except (OSError, ssl.SSLError) as error:  # a client that went away, or speaks no TLS
            _LOGGER.debug("a connection was not made: %s", error)
            with contextlib.suppress(OSError):
                accepted.close()

    def _look_at_all(self) -> None:
        now = self.loop.time()
        for connection in tuple(self._connections):
            connection.look(now)
        self._look = self.loop.call_later(_LOOK_S, self._look_at_all)
