"""Reading of requests from TorchServe's server, in less memory and fewer system calls.

TorchServe itself reads each name and each length from the socket with a call of its own. For a body of megabytes it
allocates the whole size again for every packet (see `otf_message_handler._retrieve_buffer` in TorchServe 0.12): a
worker that received bodies of 6.5 MB grew by 150 MB. This module can go with TorchServe.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

_PACKET_BYTES = 65_536
# A form or an address with so many fields is refused, and further fields are stepped over. Nobody needs as many, and
# 200,000 fields in one form took a worker 2.5 s and 150 MB.
MAX_FIELDS = 1000


class _Socket(Protocol):
    def recv(self, length: int, /) -> bytes: ...

    def recv_into(self, buffer: memoryview, /) -> int: ...


class Reader:
    """A reader of bytes from the one connection that a worker has."""

    def __init__(self) -> None:
        self._packet = b""
        self._place = 0

    def retrieve_buffer(self, connection: _Socket, length: int) -> bytearray:
        """Read the next bytes; if the server is gone, the worker ends, as TorchServe's own does.

        Args:
            connection: a blocking socket, always the same.
            length: number of bytes.
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
                filled += _require_bytes(connection.recv_into(view[filled:]))
            while filled < length:
                packet = connection.recv(_PACKET_BYTES)
                part = min(_require_bytes(len(packet)), length - filled)
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


def _require_bytes(received: int) -> int:
    if received == 0:
        logging.getLogger(__name__).info("the server is gone")
        sys.exit(0)
    return received


def read_in_packets() -> None:
    """Let this worker's process read in packets from now on; all messages before this one were read completely."""
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
