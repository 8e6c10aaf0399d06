"""What is seen of a server with a front from outside: its workers, whether it lives, and why it ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.engine.process import describe_signal
from pipeline.errors import ServerError
from pipeline.serving.door import Door
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.plan import BOARD_FILE, REASON_FILE
from pipeline.serving.server import ServerState, Worker

_TIMEOUT_S = 5.0


def board_of(state: ServerState) -> Board:
    """Return the board of a server.

    Raises:
        ServerError: there is none.
    """
    try:
        return Board(Path(state.folder) / BOARD_FILE)
    except (OSError, ValueError) as error:
        raise ServerError(f"{state.folder}: expected the server's board, found: {error}") from error


def workers_of(state: ServerState) -> tuple[Worker, ...]:
    """Return the workers as the board describes them; one that new connections do not reach yet counts as loading.

    Raises:
        ServerError: there is no board.
    """
    board = board_of(state)
    states = [row.state for row in board.rows]
    if board.first_process_answers:  # read behind the rows: it is cleared after a worker is ready
        states = [WorkerState.LOADING if each is WorkerState.READY else each for each in states]
    return tuple(
        Worker(name=str(place), pid=row.pid, status=each.name)
        for place, (row, each) in enumerate(zip(board.rows, states, strict=True), start=1)
    )


def lives(state: ServerState) -> bool:
    """Whether the server answers at all; this says nothing of its workers."""
    import httpx

    with contextlib.suppress(httpx.HTTPError, OSError):
        verify = Door.read(Path(state.folder)).trust() or True
        answer = httpx.get(f"{state.url}/livez", timeout=_TIMEOUT_S, trust_env=False, verify=verify)
        return answer.status_code == httpx.codes.OK
    return False


def described_end(code: int | None) -> str:
    """Say how a first process ended that gave no reason.

    Args:
        code: its exit code, negative for a signal; None where nobody saw it end.
    """
    if code is None:
        return "it ended, and left no reason behind (it was killed, or the machine was started again)"
    return f"it was ended by {describe_signal(-code)}" if code < 0 else f"exit code {code}, and no reason given"


def reason_of_end(state: ServerState) -> str | None:
    """Read why the server ended by itself; None where it did not say."""
    with contextlib.suppress(OSError):
        return (Path(state.folder) / REASON_FILE).read_text(encoding="utf-8")
    return None
