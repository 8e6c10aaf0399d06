"""The servers that there are: a closed table."""

from __future__ import annotations

from pipeline.serving.asgi.member import AsgiServer
from pipeline.serving.defaults import ServerName
from pipeline.serving.server import Server
from pipeline.serving.torchserve.member import TorchServe

SERVERS: dict[ServerName, Server] = {"torchserve": TorchServe(), "asgi": AsgiServer()}
