"""The front over a model in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline._handlers.predictor import Predictor
from pipeline.archive.mar import Archive
from pipeline.serving.door import Door
from pipeline.serving.front.access import Access
from pipeline.serving.front.application import Front
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.exchange import Receive, Scope, Send
from pipeline.serving.front.local import LocalEngine
from pipeline.serving.golden_question import golden_question
from tests.carried import carried


@contextmanager
def front_of(archive: Archive, folder: Path, access: Access | None = None) -> Iterator[str]:
    """Answer for an archive, which is unpacked into a folder, and yield the address."""
    archive.unpack(folder / "model")
    question = golden_question(archive)
    predictor = Predictor.load(folder / "model")
    board = Board.create(folder / "board", 1)
    row = board.rows[0]
    row.state = WorkerState.READY
    fronts: list[Front] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if not fronts:  # an engine belongs to the loop that runs
            engine = LocalEngine(predictor, row, most=8)
            fronts.append(Front(engine, board=board, row=row, access=access or Access(Door()), question=question))
        await fronts[0](scope, receive, send)

    with carried(application) as server:
        yield f"http://127.0.0.1:{server.port}"
