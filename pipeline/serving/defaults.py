"""Which server runs an archive and where it listens, unless somebody says otherwise."""

from __future__ import annotations

from typing import Literal

ServerName = Literal["torchserve"]
DEFAULT_SERVER: ServerName = "torchserve"
# Every server listens on loopback alone.
HOST = "127.0.0.1"
DEFAULT_PORT = 8080
