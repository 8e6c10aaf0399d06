"""Bounds on what clients may take of a server: bytes, connections and time."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline._handlers.request import MAX_BODY_BYTES


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of one process.

    A connection is bound by what it achieves before its address is: many clients may share one address.

    Args:
        head_bytes: largest request line and headers.
        fields: most headers of a request, and fields behind its body.
        body_bytes: largest body; a form around the largest picture fits.
        held_bytes: bytes of all requests that are received or wait for an answer.
        connections: most connections; of more, the one that made no progress for the longest time is closed.
        patience_s: time for a request before its speed counts, in seconds.
        bytes_per_s: lowest speed of a request, from its first byte on, after `patience_s`, and of answers that wait to
            be read, after `write_s`.
        idle_s: time after which a connection without a request is closed, in seconds.
        write_s: time for which answers may wait to be read before the speed counts, in seconds; then their client is
            given up. While they wait, no further one is begun.
        discard_s: longest time for which the rest of a refused request is read, in seconds; its client would otherwise
            lose the answer with the connection.
        leave_s: time that clients have to notice that a server ends, in seconds: a request that comes on an open
            connection within it is still answered.
    """

    head_bytes: int = 65_536
    fields: int = 256
    body_bytes: int = 5 * MAX_BODY_BYTES // 4
    held_bytes: int = 40 * MAX_BODY_BYTES
    connections: int = 10_000
    patience_s: float = 10.0
    bytes_per_s: int = 4096
    idle_s: float = 75.0
    write_s: float = 30.0
    discard_s: float = 2.0
    leave_s: float = 1.0
