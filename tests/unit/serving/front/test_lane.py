"""What waits is answered together, nobody waits for others, and nobody gets another one's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.exchange import Incoming, Response
from pipeline.serving.front import lane as lanes
from pipeline.serving.front.board import STEPS, Board
from pipeline.serving.front.lane import Lane


def request(text: str) -> Incoming:
    return Incoming(body=text.encode(), content_type="", extras=Extras())


def echo(batch: Sequence[Incoming]) -> list[Response]:
    return [Response(200, incoming.body) for incoming in batch]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board.create(tmp_path / "board", 1)
    board.rows[0].count_connections(2)
    return board


def lane_of(board: Board, work: Any, **settings: Any) -> Lane:
    return Lane(work, **{"most": 4, "longest_s": 1.0, "row": board.rows[0], **settings})


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_lone_request_is_answered_at_once_and_those_of_one_turn_together(board: Board) -> None:
    sizes: list[int] = []

    def work(batch: Sequence[Incoming]) -> list[Response]:
        sizes.append(len(batch))
        return echo(batch)

    async def ask() -> list[Response]:
        lane = lane_of(board, work)
        await lane.submit(request("alone"))
        return await asyncio.gather(*(lane.submit(request(str(number))) for number in range(10)))

    answers = run(ask())
    assert sizes == [1, 4, 4, 2]
    assert [answer.body for answer in answers] == [str(number).encode() for number in range(10)]
    assert board.rows[0].times(STEPS.index("queue")).counts[-1] == 0
    assert sum(board.rows[0].times(STEPS.index("queue")).counts) == 11


def test_the_only_connection_waits_for_no_turn_of_the_loop(board: Board) -> None:
    async def ask(connections: int) -> bool:
        board.rows[0].count_connections(connections)
        return lane_of(board, echo).submit(request("a")).done()

    assert run(ask(1))
    assert not run(ask(2))


def test_a_batch_that_was_begun_at_once_takes_the_place_of_one_that_was_to_begin(board: Board) -> None:
    """The other connection has ended meanwhile."""
    sizes: list[int] = []

    async def ask() -> None:
        gate = asyncio.Event()

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            sizes.append(len(batch))
            await gate.wait()
            return echo(batch)

        lane = lane_of(board, work)
        futures = [lane.submit(request("of many"))]  # to begin in the next turn
        board.rows[0].count_connections(1)
        futures += [lane.submit(request("of one")) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert sizes == [3]
        futures.append(lane.submit(request("meanwhile")))
        await asyncio.sleep(0.01)
        assert sizes == [3]  # one place
        gate.set()
        await asyncio.gather(*futures)
        assert sizes == [3, 1]

    run(ask())


def test_what_comes_while_a_batch_is_under_way_makes_the_next_one(board: Board) -> None:
    sizes: list[int] = []

    async def ask() -> list[Response]:
        gates = [asyncio.Event() for _ in range(4)]

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            sizes.append(len(batch))
            await gates[len(sizes) - 1].wait()
            return echo(batch)

        lane = lane_of(board, work, places=2)
        futures = []
        for number in range(8):
            futures.append(lane.submit(request(str(number))))
            await asyncio.sleep(0.001)
        assert sizes == [1, 1]  # a place each; the other six wait
        for gate in gates:
            gate.set()
            await asyncio.sleep(0.001)
        return await asyncio.gather(*futures)

    assert [answer.body for answer in run(ask())] == [str(number).encode() for number in range(8)]
    assert sizes == [1, 1, 4, 2]


def test_the_next_batch_is_handed_over_early_only_while_batches_are_brief(board: Board) -> None:
    under_way = 0

    async def ask() -> list[int]:
        gate = asyncio.Event()

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            nonlocal under_way
            under_way += 1
            await gate.wait()
            under_way -= 1
            return echo(batch)

        lane = lane_of(board, work, early=1)
        seen = []
        for took_s in (0.0, 0.6, 0.0):
            gate.clear()
            futures = []
            for _ in range(3):
                futures.append(lane.submit(request("a")))
                await asyncio.sleep(0.001)
            seen.append(under_way)
            await asyncio.sleep(took_s)
            gate.set()
            await asyncio.gather(*futures)
        return seen

    assert run(ask()) == [2, 2, 1]


def test_what_is_refused_by_all_says_nothing_of_how_long_work_takes(board: Board) -> None:
    async def ask() -> int:
        refuses = False

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            if refuses:
                return [Response(503, b"") for _ in batch]
            await asyncio.sleep(0.02)
            return echo(batch)

        lane = lane_of(board, work, most=1)
        await asyncio.gather(*(lane.submit(request("a")) for _ in range(20)))
        refuses = True
        await asyncio.gather(*(lane.submit(request("a")) for _ in range(40)))
        futures = [lane.submit(request("a")) for _ in range(200)]
        taken = [future.done() for future in futures].count(False)
        await asyncio.gather(*futures)
        return taken

    assert run(ask()) < 100  # 50 of them fit into a second


def test_bodies_of_a_batch_have_a_bound_together_and_a_large_one_goes_alone(board: Board) -> None:
    batches: list[list[int]] = []

    def work(batch: Sequence[Incoming]) -> list[Response]:
        batches.append([incoming.size for incoming in batch])
        return echo(batch)

    async def ask() -> None:
        lane = lane_of(board, work, most_bytes=10)
        await asyncio.gather(*(lane.submit(request("x" * size)) for size in (4, 6, 1, 30, 2)))

    run(ask())
    assert batches == [[4, 6], [1], [30], [2]]


def test_a_request_that_would_wait_too_long_is_told_so_at_once(board: Board) -> None:
    async def ask() -> tuple[list[Response], Response]:
        gate = asyncio.Event()

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            await gate.wait()
            return echo(batch)

        lane = lane_of(board, work, most=1, longest_s=0.05)
        first = [lane.submit(request("a")), lane.submit(request("b"))]
        await asyncio.sleep(0.1)
        gate.set()
        answers = list(await asyncio.gather(*first))
        gate.clear()
        # By now a request takes a tenth of a second: behind 5 of them nobody would be answered in time.
        waiting = [lane.submit(request(str(number))) for number in range(8)]
        last = waiting[-1]
        assert last.done()
        gate.set()
        await asyncio.gather(*waiting)
        return answers, last.result()

    (first, late), refused = run(ask())
    assert (first.status, late.status, refused.status) == (200, 503, 503)
    assert b"the server is busy" in refused.body


@pytest.mark.parametrize("settings", [{}, {"early": 1}, {"places": 4}])
def test_as_many_requests_may_wait_as_are_answered_in_time(
    board: Board, monkeypatch: pytest.MonkeyPatch, settings: dict[str, int]
) -> None:
    """Whether batches are handed over early, or several are worked on."""
    now = 0.0
    monkeypatch.setattr(lanes, "time", SimpleNamespace(perf_counter=lambda: now))

    async def ask() -> list[int]:
        processor = asyncio.Lock()

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            nonlocal now
            async with processor:
                await asyncio.sleep(0)
                now += 0.005
            return echo(batch)

        lane = lane_of(board, work, most=1, **settings)
        statuses = []
        for number in (20, 400):
            answers = await asyncio.gather(*(lane.submit(request("a")) for _ in range(number)))
            statuses = [answer.status for answer in answers]
        return statuses

    assert 190 <= run(ask()).count(200) <= 210


def test_nobody_waits_longer_behind_work_that_hangs(board: Board) -> None:
    async def ask() -> tuple[bool, list[int], int]:
        gate = asyncio.Event()

        async def work(batch: Sequence[Incoming]) -> list[Response]:
            await gate.wait()
            return echo(batch)

        lane = lane_of(board, work, most=1, longest_s=0.2)
        first = lane.submit(request("under way"))
        await asyncio.sleep(0.05)
        waiting = [lane.submit(request("a"))]
        await asyncio.sleep(0.1)
        waiting.append(lane.submit(request("b")))
        statuses = [answer.status for answer in await asyncio.wait_for(asyncio.gather(*waiting), 5)]
        hung = not first.done()
        gate.set()
        return hung, statuses, (await first).status

    assert run(ask()) == (True, [503, 503], 200)
    assert sum(board.rows[0].times(STEPS.index("queue")).counts) == 3


def test_a_queue_has_an_end(board: Board) -> None:
    async def ask() -> list[int]:
        lane = lane_of(board, echo)
        futures = [lane.submit(request("x")) for _ in range(1100)]
        return [answer.status for answer in await asyncio.gather(*futures)]

    statuses = run(ask())
    assert (statuses.count(200), statuses.count(503), statuses[-1]) == (1024, 76, 503)


@pytest.mark.parametrize("later", [False, True])
def test_a_client_that_went_away_costs_nothing_and_a_failure_is_told_to_each(board: Board, *, later: bool) -> None:
    asked: list[bytes] = []

    def now(batch: Sequence[Incoming]) -> list[Response]:
        asked.extend(incoming.body for incoming in batch)
        raise OSError("planted")

    async def in_time(batch: Sequence[Incoming]) -> list[Response]:
        return now(batch)

    work = in_time if later else now

    async def ask() -> list[Any]:
        lane = lane_of(board, work)
        futures = [lane.submit(request(text)) for text in ("a", "gone", "b")]
        futures[1].cancel()
        return await asyncio.gather(*futures, return_exceptions=True)

    first, gone, last = run(ask())
    assert asked == [b"a", b"b"]
    assert (str(first), str(last)) == ("planted", "planted")
    assert isinstance(gone, asyncio.CancelledError)
