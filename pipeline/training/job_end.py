"""The end of a job that cannot go on: each process says why, and from what all say it follows which of them speaks.

Each leaves a note in the store, and waits a moment for the notes of the others. From the same notes each concludes the
same: who failed, and who has ended without a word. One process speaks; the others end in silence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

import psutil
import torch.distributed as dist

from pipeline.engine.launch import Launch
from pipeline.engine.places import no_room, os_error_text
from pipeline.errors import EXIT_INTERRUPTED, ElsewhereError, FileError, JobError, PipelineError
from pipeline.training.processes import LostError, Processes

# torchrun ends all others some tenths of a second after one.
_NOTES_S = 3.0
_READ_S = 1.0
_POLL_S = 0.05


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
class Place:
    """Where a process of the job runs.

    Args:
        host: name of its machine.
        pid: its number there.
    """

    host: str
    pid: int


def leave(processes: Processes, error: BaseException, places: Mapping[int, Place], launch: Launch) -> BaseException:
    """Leave a note, read those of the others, and return what this process ends with."""
    own = _note(error)
    notes = _notes(processes, own, places)
    failed = {rank: note for rank, note in notes.items() if note.kind == "failed"}
    if own.kind == "failed":
        if any(rank < processes.rank and note.text == own.text for rank, note in failed.items()):
            return ElsewhereError(own.code)
        if processes.leads:
            return error
        kind: type[PipelineError] = FileError if isinstance(error, OSError) else PipelineError
        if isinstance(error, PipelineError):
            kind = type(error)
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
        return _Note(kind="lost", text=first_line(error), code=JobError.exit_code)
    if isinstance(error, PipelineError):
        return _Note(kind="failed", text=str(error), code=error.exit_code)
    if isinstance(error, OSError):
        text = no_room(error) or f"{error.filename or 'a file'}: {os_error_text(error)}"
        return _Note(kind="failed", text=text, code=FileError.exit_code)
    text = f"unexpected {type(error).__name__}: {first_line(error)}; run again with --debug and report it"
    return _Note(kind="failed", text=text, code=PipelineError.exit_code)


def _is_lost(error: BaseException | None) -> bool:
    """Whether an exchange failed: one of ours, or one inside torch, which raises a RuntimeError with gloo's text."""
    while error is not None:
        text = str(error)
        of_torch = isinstance(error, RuntimeError) and ("gloo/transport" in text or "Connection closed" in text)
        if isinstance(error, LostError | dist.DistError) or of_torch:
            return True
        error = error.__cause__
    return False


def _notes(processes: Processes, own: _Note, places: Mapping[int, Place]) -> dict[int, _Note]:
    """The notes of all processes that have left one, by rank; those that may still run get a moment for it."""
    store, notes = processes.store, {processes.rank: own}
    assert store is not None
    # Without the store, which ends with the machine that has it, this process knows its own end alone.
    with suppress(RuntimeError):
        store.set(f"note/{processes.rank}", json.dumps(asdict(own)))
        if dist.is_initialized() and dist.get_backend() == "gloo":  # NCCL's would wait for what was lost
            dist.destroy_process_group()  # the others wait in an exchange, and read the note as soon as it fails
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


def _ended(rank: int, own: _Note, places: Mapping[int, Place], processes: Processes) -> bool:
    """Whether a process that left no note has ended.

    One on this machine is looked up. One elsewhere has ended where an exchange with it failed; who was interrupted
    cannot know.
    """
    return not _runs(places[rank].pid) if _is_near(rank, places, processes) else own.kind == "lost"


def _is_near(rank: int, places: Mapping[int, Place], processes: Processes) -> bool:
    """Whether a process is known to have been started on this machine."""
    return rank in places and places[rank].host == places[processes.rank].host


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def _of(rank: int, places: Mapping[int, Place], processes: Processes) -> str:
    place = places.get(rank)
    where = "" if place is None else f" (on {place.host}, pid {place.pid})"
    return f"process {rank} of {processes.count}{where}"


def _goes_on(launch: Launch) -> str:
    if launch.restarts_left:
        return f"torchrun starts all of them again, {launch.restarts_left} times more at most"
    return "it goes on from its last checkpoint when it is run again"


def first_line(error: BaseException) -> str:
    """The first line of an error's text: those of torch may go on with a stack."""
    return str(error).strip().partition("\n")[0]
