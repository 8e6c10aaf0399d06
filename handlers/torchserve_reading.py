"""How a worker reads requests from TorchServe's server, in less memory and fewer calls of the system.

TorchServe asks the socket for each name and each length on its own, and for a body of megabytes by making room for all
of it once for every packet (read in TorchServe 0.12's `otf_message_handler._retrieve_buffer`): a worker that was sent
bodies of 6.5 MB grew by 150 MB. It can go with TorchServe.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

_PACKET_BYTES = 65_536
# A form or an address with so many fields is refused, and those beyond them are stepped over: nobody sends as many, and
# 200,000 of them in one form took a worker 2.5 s and 150 MB.
MAX_FIELDS = 1000


class _Socket(Protocol):
    def recv(self, length: int, /) -> bytes: ...

    def recv_into(self, buffer: memoryview, /) -> int: ...


class Reader:
    """Bytes from the one connection that a worker has."""

    def __init__(self) -> None:
        self._packet = b""
        self._place = 0

    def retrieve_buffer(self, connection: _Socket, length: int) -> bytearray:
        """The next bytes; the worker ends where the server is gone, as TorchServe's own does.

        Args:
            connection: blocking; always the same.
            length: how many.
        """
        end = self._place + length
        if end <= len(self._packet):
            data = bytearray(self._packet[self._place : end])
            self._place = end
            return data
        data = bytearray(length)
        filled = len(self._packet) - self._place
        data[:filled] = self._packet[self._place :]
        self._packet, self._place = b"", 0
        with memoryview(data) as view:
            while length - filled >= _PACKET_BYTES:
                filled += _require(connection.recv_into(view[filled:]))
            while filled < length:
                packet = connection.recv(_PACKET_BYTES)
                part = min(_require(len(packet)), length - filled)
                view[filled : filled + part] = packet[:part]
                filled += part
                self._packet, self._place = packet, part
        return data

    def skip_fields(self, connection: _Socket) -> None:
        """Step over a request's fields up to their end: each a name, a content type and a value."""
        while True:
            for _ in range(3):
                length = int.from_bytes(self.retrieve_buffer(connection, 4), "big", signed=True)
                if length < 0:
                    return
                if self._place + length <= len(self._packet):
                    self._place += length
                else:
                    self.retrieve_buffer(connection, length)


def _require(received: int) -> int:
    if received == 0:
        logging.getLogger(__name__).info("the server is gone")
        sys.exit(0)
    return received


def read_in_packets() -> None:
    """Let this worker's process read so from now on; what it has read before came whole."""
    from ts.protocol import otf_message_handler

    reader = Reader()
    retrieve = otf_message_handler._retrieve_input_data  # noqa: SLF001 - the one place that reads a field
    fields = 0

    def retrieve_field(connection: _Socket) -> Any:
        nonlocal fields
        if fields == MAX_FIELDS:
            reader.skip_fields(connection)
            fields = 0
            return None
        field = retrieve(connection)
        fields = 0 if field is None else fields + 1
        return field

    otf_message_handler._retrieve_buffer = reader.retrieve_buffer  # noqa: SLF001 - the one place that reads
    otf_message_handler._retrieve_input_data = retrieve_field  # noqa: SLF001
