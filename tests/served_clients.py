"""Clients of a real server that ask again and again, and what is waited for while they do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.defaults import ServerName
from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states
from tests.served_models import weights
from tests.server_processes import assert_nothing_left

# Grey pictures for the model `tiny`, and their classes.
PIXELS = np.random.default_rng(5).integers(0, 256, (4, 1, 8, 6), dtype=np.uint8)
CLASSES: list[int] = (PIXELS.reshape(4, -1).astype(np.float32) @ weights(48)).argmax(axis=1).tolist()
RAW = {"content-type": "application/octet-stream"}


class Clients:
    """Clients that ask again and again, each on a connection that it keeps; wrong answers are counted apart.

    Args:
        url: address of predictions of the model `tiny`.
        number: number of clients.
        pause_s: pause between an answer and the next request, in seconds.
    """

    def __init__(self, url: str, number: int, *, pause_s: float = 0.0) -> None:
        self.outcomes: Counter[str] = Counter()
        self.answered_at = 0.0
        self._url = url
        self._pause_s = pause_s
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(row,)) for row in range(number)]
        for thread in self._threads:
            thread.start()

    def asked(self, times: int) -> bool:
        """Whether they have asked so often."""
        return self.outcomes.total() > times

    def end(self) -> Counter[str]:
        """Let them end; return how often what happened."""
        self._ends.set()
        for thread in self._threads:
            thread.join()
        return self.outcomes

    def _ask(self, row: int) -> None:
        picture, expected = PIXELS[row % 4].tobytes(), CLASSES[row % 4]
        with httpx.Client(trust_env=False, timeout=20, headers=RAW) as client:
            while not self._ends.is_set():
                try:
                    response = client.post(self._url, content=picture)
                except httpx.ConnectError:
                    outcome = "refused connection"
                except httpx.HTTPError:
                    outcome = "lost"
                else:
                    outcome = str(response.status_code)
                    if response.status_code == 200 and response.json()["class_id"] != expected:
                        outcome = "wrong answer"
                with self._lock:
                    self.outcomes[outcome] += 1
                    if outcome == "200":
                        self.answered_at = time.monotonic()
                if outcome == "refused connection":
                    time.sleep(0.02)
                time.sleep(self._pause_s)


@contextmanager
def asking(url: str, number: int, *, pause_s: float = 0.0) -> Iterator[Clients]:
    """Clients for the length of a `with` block; they end at its end, however it ends."""
    clients = Clients(url, number, pause_s=pause_s)
    try:
        yield clients
    finally:
        clients.end()


@contextmanager
def serving(archive: Archive, server: ServerName, *, workers: int = 2) -> Iterator[ServerState]:
    """A server that is left running, and stopped at the end."""
    state = lifecycle.serve(archive, server=server, port=None, workers=workers, detach=True)
    try:
        yield state
    finally:
        if state in read_states():
            lifecycle.stop(state.port)
    assert_nothing_left(state)


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def replaced(state: ServerState, victim: int) -> bool:
    """Whether all workers are ready, and another one is in this one's place."""
    [status] = lifecycle.status(state.port)
    return status.ready and victim not in {worker.pid for worker in status.workers}


def worker_pids(state: ServerState) -> list[int]:
    """Process ids of the workers, in their places."""
    return [worker.pid for worker in lifecycle.status(state.port)[0].workers]


def metric(state: ServerState, name: str) -> float:
    """One value of the server's metrics."""
    lines = httpx.get(f"{state.url}/metrics", trust_env=False).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).rpartition(" ")[2])
