"""One worker: `python -m pipeline.serving.asgi.worker FOLDER PLACE LISTENER` loads the model, proves it, and answers.

FOLDER is the server's private folder, PLACE the worker's row on the board, LISTENER the number of the open socket that
all workers share. SIGTERM lets it answer what came, and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

import uvloop

from pipeline._handlers.predictor import Predictor, Refusal
from pipeline.serving.asgi.settings import ACCEPTED_FILE, MODEL_FOLDER, Settings
from pipeline.serving.door import Door
from pipeline.serving.front.access import Access
from pipeline.serving.front.application import Front
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.local import LocalEngine
from pipeline.serving.front.plan import BOARD_FILE, REFUSED
from pipeline.serving.question import Question

_BEAT_S = 0.5


def main(folder: Path, place: int, listener: socket.socket) -> int:
    """Serve until SIGTERM.

    Returns:
        0 after SIGTERM, 1 where requests were cut off by it, `REFUSED` where the model must not be served here.
    """
    settings = Settings.read(folder)
    try:
        predictor = Predictor.load(folder / MODEL_FOLDER)
        difference = predictor.require_self_test(accept_host=settings.accept_host)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return REFUSED
    if difference is not None:
        (folder / ACCEPTED_FILE).write_text(difference, encoding="utf-8")
    return uvloop.run(_serve(folder, settings, predictor, place, listener))


async def _serve(folder: Path, settings: Settings, predictor: Predictor, place: int, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    board, door = Board(folder / BOARD_FILE), Door.read(folder)
    row = board.rows[place]
    engine = LocalEngine(predictor, row, most=settings.most)
    front = Front(
        engine,
        board=board,
        row=row,
        access=Access(door),
        question=Question.read(folder),
    )
    carrier = Carrier(
        front,
        tls=door.tls(),
        has_more_than_its_part=lambda: board.is_ahead(row),
        count_refusal=row.count_status,
        count_connections=row.count_connections,
    )
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    carrier.listen(listener)
    row.state = WorkerState.READY
    while not ending.is_set():
        if engine.moves():
            row.beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), _BEAT_S)
    row.state = WorkerState.LEAVING
    whole = await carrier.leave(settings.drain_s)
    row.count_connections(0)  # those that were cut off too
    return 0 if whole else 1


if __name__ == "__main__":
    _FOLDER, _PLACE, _LISTENER = sys.argv[1:]
    with socket.socket(fileno=int(_LISTENER)) as _SOCKET:
        sys.exit(main(Path(_FOLDER), int(_PLACE), _SOCKET))
