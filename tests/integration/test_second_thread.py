"""Whether a worker's second thread moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.exchange import Incoming, Response
from pipeline._handlers.predictor import Predictor
from pipeline.serving.front import local
from pipeline.serving.front.board import Board
from tests.served_models import GREY, build_archive

LARGE = Incoming(body=b'{"instances": []}' + b" " * 20_000, content_type="application/json", extras=Extras())


def test_a_batch_that_keeps_the_thread_is_no_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_archive(tmp_path / "archive", [GREY]).unpack(tmp_path / "model")
    ends = threading.Semaphore(0)

    def respond(_: object, batch: Sequence[Incoming], *__: object) -> list[Response]:
        ends.acquire()
        return [Response(200, b"{}")] * len(batch)

    monkeypatch.setattr(local, "respond", respond)
    row = Board.create(tmp_path / "board", 1).rows[0]

    async def work() -> list[bool]:
        engine = local.LocalEngine(Predictor.load(tmp_path / "model"), row, most=1)
        moves = [engine.moves()]
        first, second = engine.respond(LARGE), engine.respond(LARGE)
        await asyncio.sleep(0.05)
        moves += [engine.moves(), engine.moves()]  # the first call sees that it began
        ends.release()
        await first
        await asyncio.sleep(0.05)
        moves += [engine.moves(), engine.moves()]
        ends.release()
        await second
        return [*moves, engine.moves(), engine.moves()]

    assert asyncio.run(work()) == [True, True, False, True, False, True, True]
