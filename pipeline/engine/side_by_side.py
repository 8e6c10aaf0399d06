"""Calls a function for many items at once, in threads that no interruption can wait for.

Ctrl-C is an exception in the main thread, between any two of its instructions. In Python's own executor it may come
just after a lock was taken that the threads need (`threading.Condition` takes its lock in a function of its own, in
front of the block that gives it back): they then wait for the lock, and the main thread for them, for ever. Here items
and outcomes pass through queues without such a moment, and nobody waits for a thread, not even for its start, as
`threading.Thread` does.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item], *, at_once: int) -> Iterator[Result]:
    """Yield what a function returns for each of many items, in their order.

    A call that is under way when the block is left early, by an error or by an interruption, runs to its end by itself;
    no further one begins, and the end of the process waits for none.

    Args:
        function: function to call; an exception that it raises is raised here, when its item's turn comes.
        items: items, all of which are read before the first call.
        at_once: largest number of calls that are under way together.
    """
    numbered = list(enumerate(items))
    tasks: SimpleQueue[tuple[int, Item] | None] = SimpleQueue()
    outcomes: SimpleQueue[tuple[int, Callable[[], Result]]] = SimpleQueue()
    for task in numbered:
        tasks.put(task)
    try:
        for _ in range(min(at_once, len(numbered))):
            _thread.start_new_thread(_work, (function, tasks, outcomes))
        early: dict[int, Callable[[], Result]] = {}
        for number, _ in numbered:
            while number not in early:
                place, outcome = outcomes.get()
                early[place] = outcome
            yield early.pop(number)()
    finally:
        with suppress(Empty):
            while True:
                tasks.get_nowait()
        for _ in range(at_once):
            tasks.put(None)


def _work(
    function: Callable[[Item], Result],
    tasks: SimpleQueue[tuple[int, Item] | None],
    outcomes: SimpleQueue[tuple[int, Callable[[], Result]]],
) -> None:
    while (task := tasks.get()) is not None:
        number, item = task
        outcomes.put((number, _outcome(function, item)))


def _outcome(function: Callable[[Item], Result], item: Item) -> Callable[[], Result]:
    """Call the function, and return a function that returns its result, or raises its exception."""
    try:
        result = function(item)
    except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
        failure = error

        def fail() -> Result:
            raise failure

        return fail
    return lambda: result
