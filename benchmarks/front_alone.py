"""Our front without a model: `python -m benchmarks.front_alone FOLDER PORT PROCESSES`; what is left is its own cost.

FOLDER is an unpacked archive. Each process has one answer to every request for predictions: requests are received,
checked and counted as ever, but nothing is decoded, computed or encoded.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np
import uvloop

from pipeline._handlers.exchange import Incoming, Response
from pipeline._handlers.predictor import Predictor
from pipeline.serving.defaults import HOST
from pipeline.serving.door import Door
from pipeline.serving.front.access import Access
from pipeline.serving.front.application import Front
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.engine import answered
from pipeline.serving.question import Question


class Constant:
    """An engine that has one answer: what a client gets where all outputs of the network are zero.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.serving, self.digest = predictor.serving, predictor.digest
        logits = np.zeros((1, predictor.serving.columns), dtype=np.float32)
        self._body = predictor.write(logits)[0].encode()

    def respond(self, _: Incoming) -> asyncio.Future[Response]:
        """Answer at once."""
        return answered(Response(200, self._body))


async def _serve(engine: Constant, board: Board, place: int, listener: socket.socket) -> None:
    row = board.rows[place]
    nothing = Question(body=b"", content_type="", expected=np.zeros(0, dtype=np.float32))
    front = Front(engine, board=board, row=row, access=Access(Door()), question=nothing)
    carrier = Carrier(
        front, has_more_than_its_part=lambda: board.is_ahead(row), count_connections=row.count_connections
    )
    carrier.listen(listener)
    row.state = WorkerState.READY
    await asyncio.Event().wait()


def main(folder: Path, port: int, processes: int) -> None:
    """Serve until it is killed."""
    engine = Constant(Predictor.load(folder))
    with tempfile.TemporaryDirectory() as scratch:
        board = Board.create(Path(scratch) / "board", processes)  # it stays in memory
    with socket.create_server((HOST, port), backlog=1024) as listener:
        listener.settimeout(0)
        place = 0
        for other in range(1, processes):
            if os.fork() == 0:
                place = other
                break
        uvloop.run(_serve(engine, board, place, listener))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
