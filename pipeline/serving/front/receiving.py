"""A request that is being received: its head, its body, and the memory that both take."""

from __future__ import annotations

_AROUND_HEADER = len(": \r\n")


class Receiving:
    """A request that is being received.

    Args:
        began: when its first byte came, on the loop's clock, in seconds.

    Attributes:
        received: bytes that came since then.
        url: the address, as far as it came.
        headers: names in lower case, and values.
        head: bytes of the address and the headers.
        fields: number of headers, and of fields behind the body.
        whole_head: whether all of the head came; fields behind the body are no headers.
        size: bytes of the body.
        length: bytes that the body will have, as its headers say; 0 where they say nothing.
        held: bytes that it is counted with in the memory of all requests.
    """

    __slots__ = (
        "_first",
        "_rest",
        "began",
        "fields",
        "head",
        "headers",
        "held",
        "length",
        "received",
        "size",
        "url",
        "whole_head",
    )

    def __init__(self, began: float) -> None:
        self.began = began
        self.received = 0
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.head = 0
        self.fields = 0
        self.whole_head = False
        self.size = 0
        self.length = 0
        self.held = 0
        # Most bodies come in one piece. Where each of thousands of tiny pieces is an object, they take many times their
        # bytes.
        self._first = b""
        self._rest = bytearray()

    def add_url(self, part: bytes) -> None:
        """Add a part of the address."""
        self.url += part
        self.head += len(part)

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header; behind the body it counts, and says nothing."""
        self.fields += 1
        self.head += len(name) + len(value) + _AROUND_HEADER
        if not self.whole_head:
            self.headers.append((name.lower(), value))

    def add_body(self, chunk: bytes) -> None:
        """Add a part of the body."""
        if self.size:
            self._rest += chunk
        else:
            self._first = chunk
        self.size += len(chunk)

    @property
    def body(self) -> bytes:
        """The body, as far as it came."""
        return self._first + self._rest if self._rest else self._first
