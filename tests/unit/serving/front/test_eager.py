"""A coroutine begins at once, goes on when what it waits for is done, and learns what one in a task would learn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from pipeline.serving.front import eager


async def noting(notes: list[str], *waits: Awaitable[object]) -> None:
    """Note each step, and what ended the coroutine."""
    try:
        notes.append("begun")
        for wait in waits:
            result = await wait
            notes.append(str(result))
    except asyncio.CancelledError:
        notes.append("cancelled")
        raise
    except ValueError as error:
        notes.append(f"failed: {error}")


def done(value: str) -> asyncio.Future[str]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def test_what_waits_for_nothing_ends_at_once() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        assert eager.begin(noting(notes, done("a"), done("b")), asyncio.get_running_loop()) is None
        assert notes == ["begun", "a", "b"]

    asyncio.run(try_it())


def test_what_waits_goes_on_with_each_result() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        assert eager.begin(noting(notes, first, asyncio.sleep(0, "slept"), second), loop) is not None
        assert notes == ["begun"]
        first.set_result("a")
        await asyncio.sleep(0.01)
        assert notes == ["begun", "a", "slept"]
        second.set_result("b")
        await asyncio.sleep(0.01)
        assert notes == ["begun", "a", "slept", "b"]

    asyncio.run(try_it())


def test_a_failure_that_is_waited_for_reaches_the_coroutine() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        eager.begin(noting(notes, future), loop)
        future.set_exception(ValueError("so"))
        await asyncio.sleep(0.01)
        assert notes == ["begun", "failed: so"]

    asyncio.run(try_it())


@pytest.mark.parametrize("early", [True, False])
def test_to_cancel_it_cancels_what_it_waits_for(early: bool) -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        begun = eager.begin(noting(notes, future), loop)
        assert begun is not None
        if not early:
            await asyncio.sleep(0)
        begun.cancel()
        await asyncio.sleep(0.01)
        assert notes == ["begun", "cancelled"]
        assert future.cancelled()

    asyncio.run(try_it())


@pytest.mark.parametrize("turn", [True, False])
def test_it_learns_that_it_is_cancelled_though_what_it_waits_for_is_done(turn: bool) -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        begun = eager.begin(noting(notes, asyncio.sleep(0) if turn else future, loop.create_future()), loop)
        assert begun is not None
        if not turn:
            future.set_result("a")
        begun.cancel()
        await asyncio.sleep(0.01)
        assert notes == ["begun", "cancelled"]

    asyncio.run(try_it())


def test_cancelled_in_the_middle_of_its_own_step_it_waits_for_nothing_more() -> None:
    async def try_it() -> None:
        loop = asyncio.get_running_loop()
        never = loop.create_future()
        ended = False

        async def ends_itself() -> None:
            nonlocal ended
            await asyncio.sleep(0)
            assert begun is not None
            begun.cancel()
            try:
                await never
            finally:
                ended = True

        begun = eager.begin(ends_itself(), loop)
        await asyncio.sleep(0.01)
        assert ended
        assert never.cancelled()

    asyncio.run(try_it())


def test_two_coroutines_may_wait_for_the_same() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        for _ in range(2):
            eager.begin(noting(notes, future), loop)
        future.set_result("a")
        await asyncio.sleep(0.01)
        assert notes == ["begun", "begun", "a", "a"]

    asyncio.run(try_it())


def test_an_error_after_a_wait_is_told_to_the_loop() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def try_it() -> None:
        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        eager.begin(fails(), loop)
        await asyncio.sleep(0.01)
        assert [type(error) for error in told] == [KeyError]

    asyncio.run(try_it())
