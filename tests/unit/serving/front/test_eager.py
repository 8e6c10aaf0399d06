"""A coroutine begins at once, goes on in a task where it waits, and learns what a task's coroutine would learn."""

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


def test_what_waits_for_nothing_ends_without_a_task() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        assert eager.begin(noting(notes, done("a"), done("b")), asyncio.get_running_loop()) is None
        assert notes == ["begun", "a", "b"]

    asyncio.run(try_it())


def test_what_waits_goes_on_with_each_result_in_a_task() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        task = eager.begin(noting(notes, first, asyncio.sleep(0, "slept"), second), loop)
        assert task is not None
        assert notes == ["begun"]
        first.set_result("a")  # before the task's own first step
        await asyncio.sleep(0.01)
        assert notes == ["begun", "a", "slept"]
        second.set_result("b")
        await task
        assert notes == ["begun", "a", "slept", "b"]

    asyncio.run(try_it())


async def begun(notes: list[str], *, early: bool) -> tuple[asyncio.Task[None], asyncio.Future[str]]:
    """Begin to wait for a future; the task has had no step of its own where it is early."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    task = eager.begin(noting(notes, future), loop)
    assert task is not None
    assert notes == ["begun"]
    if not early:
        await asyncio.sleep(0)
    return task, future


@pytest.mark.parametrize("early", [True, False])
def test_a_failure_that_is_waited_for_reaches_the_coroutine(early: bool) -> None:
    async def try_it() -> None:
        notes: list[str] = []
        task, future = await begun(notes, early=early)
        future.set_exception(ValueError("so"))
        await task
        assert notes == ["begun", "failed: so"]

    asyncio.run(try_it())


@pytest.mark.parametrize("early", [True, False])
def test_to_cancel_the_task_cancels_what_the_coroutine_waits_for(early: bool) -> None:
    async def try_it() -> None:
        notes: list[str] = []
        task, future = await begun(notes, early=early)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert notes == ["begun", "cancelled"]
        assert future.cancelled()

    asyncio.run(try_it())


def test_two_coroutines_may_wait_for_the_same() -> None:
    async def try_it() -> None:
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        tasks = [eager.begin(noting(notes, future), loop) for _ in range(2)]
        await asyncio.sleep(0)
        future.set_result("a")
        for task in tasks:
            assert task is not None
            await task
        assert notes == ["begun", "begun", "a", "a"]

    asyncio.run(try_it())


def test_an_error_of_the_coroutine_is_the_tasks_error() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def try_it() -> None:
        task = eager.begin(fails(), asyncio.get_running_loop())
        assert task is not None
        with pytest.raises(KeyError):
            await task

    asyncio.run(try_it())
