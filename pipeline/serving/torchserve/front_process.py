"""The front before TorchServe: `python -m pipeline.serving.torchserve.front_process FOLDER MOST LISTENER`.

FOLDER is the private folder, MOST the most requests that a worker is handed together, LISTENER the open port's number.

SIGTERM lets it answer what came, and end. Where TorchServe's workers do not come back, all is started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import signal
import socket
import sys
from pathlib import Path

import uvloop

from pipeline._handlers.description import SERVING_FILE, Serving
from pipeline.serving.door import Door
from pipeline.serving.front.access import Access
from pipeline.serving.front.application import Front
from pipeline.serving.front.board import Board
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.plan import ANEW, BOARD_FILE, Plan
from pipeline.serving.question import Question
from pipeline.serving.torchserve.relay import Relay
from pipeline.serving.torchserve.sockets import INFERENCE_SOCKET, MANAGEMENT_SOCKET

_BEAT_S = 0.5


async def _serve(folder: Path, most: int, listener: socket.socket) -> int:
    """Serve until SIGTERM; return 0 where all was answered, 1 where requests were cut off, or `ANEW`."""
    loop = asyncio.get_running_loop()
    content = (folder / SERVING_FILE).read_bytes()
    serving = Serving.from_json(json.loads(content))
    board = Board(folder / BOARD_FILE)
    row = board.rows[0]
    relay = Relay(
        serving,
        digest=hashlib.sha256(content).hexdigest(),
        inference=folder / INFERENCE_SOCKET,
        management=folder / MANAGEMENT_SOCKET,
        board=board,
        most=most,
    )
    door = Door.read(folder)
    front = Front(relay, board=board, row=row, access=Access(door), question=Question.read(folder))
    carrier = Carrier(front, tls=door.tls(), count_refusal=row.count_status, count_connections=row.count_connections)
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    watch = loop.create_task(relay.watch())
    watch.add_done_callback(lambda _: ending.set())
    carrier.listen(listener)
    while not ending.is_set():
        row.beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), _BEAT_S)
    hopeless = watch.done()
    watch.cancel()
    whole = await carrier.leave(0.0 if hopeless else Plan.read(folder).drain_s)
    row.count_connections(0)  # those that were cut off too
    if hopeless:
        sys.stderr.write("no worker of TorchServe came back\n")
        return ANEW
    return 0 if whole else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _FOLDER, _MOST, _LISTENER = sys.argv[1:]
    with socket.socket(fileno=int(_LISTENER)) as _SOCKET:
        sys.exit(uvloop.run(_serve(Path(_FOLDER), int(_MOST), _SOCKET)))
