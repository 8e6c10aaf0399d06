"""Names the server that runs an archive, and the address where it listens, unless somebody says otherwise."""

from __future__ import annotations

from typing import Literal

ServerName = Literal["torchserve", "asgi"]
DEFAULT_SERVER: ServerName = "torchserve"
# Every server listens on loopback alone.
HOST = "127.0.0.1"
DEFAULT_PORT = 8080
