"""A job: several processes that start together, train together, and end together with one line about what went wrong.

Each process that cannot go on leaves a note in the store, and waits a moment for the notes of the others. From all
notes each of them sees the same: who failed, and who has ended without a word. One speaks; the others end in silence.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist

from pipeline.engine.launch import Launch
from pipeline.errors import EXIT_INTERRUPTED, ElsewhereError, JobError, PipelineError, UsageError
from pipeline.training.processes import LostError, Processes, exchange, together

# A machine of a job may start some minutes after another.
_START = timedelta(minutes=5)
# A process that does not come to an exchange for so long has hung, or its machine is lost: process 0 writes its
# checkpoints and draws its pictures in a small part of it.
_EXCHANGE = timedelta(minutes=10)
# torchrun ends all others some tenths of a second after one.
_NOTES_S = 3.0
# The others read what process 0 wrote, and have nothing more to do.
_END_S = 90.0
_READ_S = 1.0
_POLL_S = 0.05
_WAIT_S = 0.2


@dataclass(frozen=True, kw_only=True)
class _Note:
    """Why a process cannot go on.

    Args:
        kind: it failed by itself, it was interrupted, or it has lost another.
        text: what it would say.
        code: its exit code.
    """

    kind: Literal["failed", "interrupted", "lost"]
    text: str
    code: int


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a process of the job runs."""

    host: str
    pid: int


@contextmanager
def job(launch: Launch, *, start: timedelta = _START) -> Iterator[Processes]:
    """Join the other processes for a block; they train inside of it what is trained.

    Args:
        launch: what torchrun tells this process.
        start: longest wait for the others to start.

    Raises:
        UsageError: the others are not reached.
        JobError: another process has ended or failed; the text says which.
        ElsewhereError: the job has failed, and another process says why.
        KeyboardInterrupt: all processes were interrupted.
    """
    try:
        store = _meet(launch, start)
    except UsageError as error:
        if launch.local_rank:
            raise ElsewhereError(error.exit_code) from error
        raise
    processes = Processes(rank=launch.rank, count=launch.world_size, local_rank=launch.local_rank, store=store)
    places = {}
    try:
        places = _join(processes, launch, start)
        with together(processes):
            yield processes
        _finish(processes)
    except BaseException as error:
        with _no_interruption():
            end = _leave(processes, error, places, launch)
        if end is error:
            raise
        raise end from error
    dist.destroy_process_group()


def wait_for_call(processes: Processes) -> str | None:
    """Wait until process 0 says what to train; None where it needs nothing more.

    Raises:
        LostError: process 0 has ended.
    """
    while (call := processes.called()) is None and not _has_ended(processes):
        time.sleep(_WAIT_S)
    return call


def wait_for_end(processes: Processes) -> None:
    """Wait until process 0 has written all that it writes.

    Raises:
        LostError: process 0 has failed.
    """
    while not _has_ended(processes):
        time.sleep(_WAIT_S)


def _has_ended(processes: Processes) -> bool:
    assert processes.store is not None
    with exchange():
        if processes.store.check(["note/0"]):
            raise LostError("process 0 has failed")
        return processes.store.check(["done/0"])


def _meet(launch: Launch, start: timedelta) -> dist.Store:
    """Connect to the store of this start of the job, which no earlier start has written to.

    torchrun keeps one store for all starts. So process 0 makes up a name for this one. Each of the others asks for it
    by a number of its own, so that it cannot take an answer that was meant for an earlier start.
    """
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(dist.rendezvous("env://", timeout=start))
        name = _name(store, launch, start)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"MASTER_ADDR and MASTER_PORT {address}: expected all {launch.world_size} processes to meet there within "
            f"{start.total_seconds():g} s, found: {_first_line(error)}; start as many as WORLD_SIZE says, on machines "
            "that reach each other"
        ) from error
    return dist.PrefixStore(f"pipeline/{name}", store)


def _name(store: dist.Store, launch: Launch, start: timedelta) -> str:
    if launch.rank:
        number = secrets.token_hex(8)
        store.set(f"pipeline/hello/{launch.rank}", number)
        answer = f"pipeline/name/{number}"
        store.wait([answer], start)
        name = store.get(answer).decode()
        store.set(f"pipeline/{name}/here/{launch.rank}", "")
        return name
    name, end = secrets.token_hex(8), time.monotonic() + start.total_seconds()
    missing = set(range(1, launch.world_size))
    while missing:
        if time.monotonic() > end:
            raise RuntimeError(f"process {min(missing)} did not come")
        for rank in sorted(missing):
            hello = f"pipeline/hello/{rank}"
            if store.check([f"pipeline/{name}/here/{rank}"]):
                missing.remove(rank)
            elif store.check([hello]):
                store.set(f"pipeline/name/{store.get(hello).decode()}", name)
        time.sleep(_POLL_S)
    return name


def _join(processes: Processes, launch: Launch, start: timedelta) -> dict[int, _Place]:
    """Make the process group, and return where each process runs."""
    store = processes.store
    assert store is not None
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if gpus and launch.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(launch.local_rank)
    with exchange():
        store.set(f"place/{launch.rank}", json.dumps(asdict(_Place(host=socket.gethostname(), pid=os.getpid()))))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=launch.rank,
            world_size=launch.world_size,
            timeout=_EXCHANGE,
        )
        keys = [f"place/{rank}" for rank in range(launch.world_size)]
        store.wait(keys, start)
        return {rank: _Place(**json.loads(store.get(key))) for rank, key in enumerate(keys)}


def _finish(processes: Processes) -> None:
    """Wait for all others at the end: process 0 may have the store that they still read."""
    store = processes.store
    assert store is not None
    with exchange():
        store.set(f"done/{processes.rank}", "")
        end = time.monotonic() + _END_S
        others = set(range(processes.count)) if processes.leads else set()
        while others and time.monotonic() < end:
            others = {rank for rank in others if not store.check([f"done/{rank}"])}
            time.sleep(_POLL_S if others else 0)


def _leave(processes: Processes, error: BaseException, places: Mapping[int, _Place], launch: Launch) -> BaseException:
    """Leave a note, read those of the others, and return what this process ends with."""
    own = _note(error)
    notes = _notes(processes, own, places)
    failed = {rank: note for rank, note in notes.items() if note.kind == "failed"}
    if own.kind == "failed":
        if any(rank < processes.rank and note.text == own.text for rank, note in failed.items()):
            return ElsewhereError(own.code)
        if processes.leads:
            return error
        kind = type(error) if isinstance(error, PipelineError) else PipelineError
        return kind(f"{_of(processes.rank, places, processes)}: {own.text}")
    if failed:
        return ElsewhereError(next(iter(failed.values())).code)
    ended = [rank for rank in range(processes.count) if rank not in notes and _ended(rank, own, places, processes)]
    if min(notes) != processes.rank:
        return ElsewhereError(JobError.exit_code if ended else EXIT_INTERRUPTED)
    if ended:
        who = " and ".join(_of(rank, places, processes) for rank in ended)
        return JobError(f"{who} ended without a word: killed, or its machine is lost; {_goes_on(launch)}")
    if any(note.kind == "interrupted" for note in notes.values()):
        return error if isinstance(error, KeyboardInterrupt) else KeyboardInterrupt()
    return JobError(f"the {processes.count} processes have lost each other: {own.text}; {_goes_on(launch)}")


def _note(error: BaseException) -> _Note:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return _Note(kind="interrupted", text="interrupted", code=EXIT_INTERRUPTED)
    if _is_lost(error):
        return _Note(kind="lost", text=_first_line(error), code=JobError.exit_code)
    if isinstance(error, PipelineError):
        return _Note(kind="failed", text=str(error), code=error.exit_code)
    text = f"unexpected {type(error).__name__}: {_first_line(error)}; run again with --debug and report it"
    return _Note(kind="failed", text=text, code=PipelineError.exit_code)


def _is_lost(error: BaseException | None) -> bool:
    """Whether an exchange failed: one of ours, or one inside torch, which raises a RuntimeError with gloo's text."""
    while error is not None:
        text = str(error)
        if isinstance(error, LostError | dist.DistError) or "gloo/transport" in text or "Connection closed" in text:
            return True
        error = error.__cause__
    return False


def _notes(processes: Processes, own: _Note, places: Mapping[int, _Place]) -> dict[int, _Note]:
    """The notes of all processes that have left one, by rank; those that may still run get a moment for it."""
    store, notes = processes.store, {processes.rank: own}
    assert store is not None
    # Without the store, which ends with the machine that has it, this process knows its own end alone.
    with suppress(RuntimeError):
        store.set(f"note/{processes.rank}", json.dumps(asdict(own)))
        end = time.monotonic() + _NOTES_S
        while len(notes) < processes.count and time.monotonic() < end:
            for rank in range(processes.count):
                if rank not in notes and store.check([f"note/{rank}"]):
                    notes[rank] = _Note(**json.loads(store.get(f"note/{rank}")))
            silent = [rank for rank in range(processes.count) if rank not in notes]
            if all(_is_near(rank, places, processes) and not _runs(places[rank].pid) for rank in silent):
                break
            time.sleep(_POLL_S)
        store.set(f"read/{processes.rank}", "")
        end = time.monotonic() + _READ_S
        others = set(notes) if processes.leads else set()
        while others and time.monotonic() < end:  # process 0 may have the store that the others read
            others = {rank for rank in others if not store.check([f"read/{rank}"])}
            time.sleep(_POLL_S if others else 0)
    return notes


def _ended(rank: int, own: _Note, places: Mapping[int, _Place], processes: Processes) -> bool:
    """Whether a process that left no note has ended.

    One on this machine is looked up. One elsewhere has ended where an exchange with it failed; who was interrupted
    cannot know.
    """
    return not _runs(places[rank].pid) if _is_near(rank, places, processes) else own.kind == "lost"


def _is_near(rank: int, places: Mapping[int, _Place], processes: Processes) -> bool:
    """Whether a process is known to have been started on this machine."""
    return rank in places and places[rank].host == places[processes.rank].host


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def _of(rank: int, places: Mapping[int, _Place], processes: Processes) -> str:
    place = places.get(rank)
    where = "" if place is None else f" (on {place.host}, pid {place.pid})"
    return f"process {rank} of {processes.count}{where}"


def _goes_on(launch: Launch) -> str:
    if launch.restarts_left:
        return f"torchrun starts all of them again, {launch.restarts_left} times more at most"
    return "it goes on from its last checkpoint when it is run again"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def _no_interruption() -> Iterator[None]:
    """Let no signal end the block: torchrun ends the others as soon as one has ended, while they read each other."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
