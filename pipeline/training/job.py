"""A job: several processes that start together, train together, and end together."""

from __future__ import annotations

import _thread
import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from pipeline.engine.launch import Launch
from pipeline.errors import ElsewhereError, UsageError
from pipeline.training.job_end import Place, first_line, leave
from pipeline.training.processes import LostError, Processes, exchange, together

# A machine of a job may start some minutes after another.
_START = timedelta(minutes=5)
# A process that does not come to an exchange for so long has hung, or its machine is lost: process 0 writes its
# checkpoints and draws its pictures in a small part of it.
_EXCHANGE = timedelta(minutes=10)
# The others read what process 0 wrote, and have nothing more to do.
_END_S = 90.0
_POLL_S = 0.05
_WAIT_S = 0.2


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
            end = leave(processes, error, places, launch)
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


def _meet(launch: Launch, start: timedelta) -> Store:
    """Connect to the store of this start of the job, which no earlier start has written to.

    torchrun keeps one store for all starts. So process 0 makes up a name for this one. Each of the others asks for it
    by a number of its own, so that it cannot take an answer that was meant for an earlier start.
    """
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store = _reached(start)
        name = _name(store, launch, start)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"MASTER_ADDR and MASTER_PORT {address}: expected all {launch.world_size} processes to meet there within "
            f"{start.total_seconds():g} s, found: {first_line(error)}; start as many as WORLD_SIZE says, on machines "
            "that reach each other"
        ) from error
    return PrefixStore(f"pipeline/{name}", store)


def _reached(start: timedelta) -> Store:
    """The store. Torch waits for it where no signal is heard: so a thread does, and this one can be interrupted."""
    outcome: list[Store | Exception] = []

    def reach() -> None:
        try:
            store, _, _ = next(rendezvous("env://", timeout=start))
            outcome.append(store)
        except Exception as error:  # noqa: BLE001 - raised below, where it is told
            outcome.append(error)

    _thread.start_new_thread(reach, ())
    while not outcome:  # no lock is waited for, so that an interruption leaves none behind
        time.sleep(_POLL_S)
    (found,) = outcome
    if isinstance(found, Exception):
        raise found
    return found


def _name(store: Store, launch: Launch, start: timedelta) -> str:
    if launch.rank:
        number = secrets.token_hex(8)
        store.set(f"pipeline/hello/{launch.rank}", number)
        answer = f"pipeline/name/{number}"
        end = time.monotonic() + start.total_seconds()
        while not store.check([answer]):
            if time.monotonic() > end:
                raise RuntimeError("process 0 did not answer")
            time.sleep(_POLL_S)
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


def _join(processes: Processes, launch: Launch, start: timedelta) -> dict[int, Place]:
    """Make the process group, and return where each process runs."""
    store = processes.store
    assert store is not None
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if gpus and launch.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(launch.local_rank)
    with exchange():
        store.set(f"place/{launch.rank}", json.dumps(asdict(Place(host=socket.gethostname(), pid=os.getpid()))))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=launch.rank,
            world_size=launch.world_size,
            timeout=_EXCHANGE,
        )
        keys = [f"place/{rank}" for rank in range(launch.world_size)]
        store.wait(keys, start)
        return {rank: Place(**json.loads(store.get(key))) for rank, key in enumerate(keys)}


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
