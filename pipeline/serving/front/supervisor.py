"""The first process of a server: `python -m pipeline.serving.front.supervisor FOLDER`.

It opens the port and runs the children of the plan. A child that ends is started again, after a pause that grows. While
no worker is ready it answers for them: 503. SIGTERM lets the children answer what came, and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

import psutil

from pipeline.engine.process import describe_signal, start_child
from pipeline.serving.door import Door
from pipeline.serving.front.board import Board, WorkerState
from pipeline.serving.front.carrier import Carrier
from pipeline.serving.front.clean_start import adopt_orphans, kill_strangers, make_anew, reap_orphans
from pipeline.serving.front.log import log_to
from pipeline.serving.front.plan import (
    ANEW,
    BOARD_FILE,
    EVENTS_FILE,
    LISTENER,
    PROVEN_FILE,
    REASON_FILE,
    REFUSED,
    TOLD_FILE,
    Child,
    Plan,
)
from pipeline.serving.front.unready import Unready

_LOGGER = logging.getLogger("server")
_BACKLOG = 4096
_WATCH_S = 0.05
# Pause before a child is started again, in seconds: it doubles each time, and begins anew after a long life.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONG_LIFE_S = 0.1, 10.0, 60.0
# After so many ends in a row, while no worker was ready, the server cannot serve.
_MOST_FAILURES = 5
_LAST_WORDS = 20
# Beyond the time that children have to end, in seconds.
_KILL_S = 1.0


class _Running:
    """A child of the plan, and its process.

    Args:
        child: the child.
        command: its command.
    """

    def __init__(self, child: Child, command: list[str]) -> None:
        self.child = child
        self.command = command
        self.process: subprocess.Popen[str] | None = None
        self.began = 0.0
        self.pause_s = _FIRST_PAUSE_S
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)

    def reason(self, code: int) -> str:
        """Say why it ended, in one line."""
        words = [line for line in self.last_words if line.strip() and not line[0].isspace()]
        last = words[-1] if words else ""
        if code == REFUSED:
            return f"{self.child.name} refuses to serve: {last or 'it gave no reason'}"
        if code < 0:
            return f"{self.child.name} was ended by {describe_signal(-code)}"
        return f"{self.child.name} ended with code {code}: {last or 'without a word'}"


class Supervisor:
    """All processes of a server.

    Args:
        folder: the server's private folder.
        listener: the open port.
    """

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self._folder = folder
        self._plan = Plan.read(folder)
        self._board = Board(folder / BOARD_FILE)
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._leaving = False
        self._failures = 0
        self._running = [
            _Running(child, [part.replace(LISTENER, str(listener.fileno())) for part in child.command])
            for child in self._plan.children
        ]
        self._unready = Carrier(Unready(), tls=Door.read(folder).tls())
        # The process that ends this one when its own parent ends, see `pipeline.engine.tie`.
        self._companions = [process.pid for process in psutil.Process().children()]

    async def run(self) -> int:
        """Run the children until the server is ended or cannot go on; return its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._leave)
        adopt_orphans()
        self._loop.add_signal_handler(signal.SIGCHLD, lambda: reap_orphans(self._known()))
        for running in self._running:
            self._start(running)
        watch = self._loop.create_task(self._watch())
        try:
            return await self._code
        finally:
            watch.cancel()

    def _start(self, running: _Running) -> None:
        if self._leaving:
            return
        child = running.child
        if child.alone:
            kill_strangers(self._known())
        make_anew(self._folder, child)
        for row in (self._board.rows[place] for place in child.rows):
            row.state, row.connections = WorkerState.LOADING, 0
        running.began = time.monotonic()
        running.last_words.clear()
        with contextlib.ExitStack() as stack:
            console: IO[str] | int = subprocess.PIPE
            if child.console is not None:
                console = stack.enter_context((self._folder / child.console).open("a", encoding="utf-8"))
            running.process = start_child(
                running.command,
                cwd=self._folder,
                environment=child.environment,
                stdout=subprocess.DEVNULL if child.console is None else console,
                stderr=console,
                kept=(self._listener.fileno(),) if LISTENER in child.command else (),
            )
        for place in child.rows:
            self._board.rows[place].pid = running.process.pid
        threading.Thread(target=self._listen, args=(running, running.process), daemon=True).start()

    def _listen(self, running: _Running, process: subprocess.Popen[str]) -> None:
        """Log what a child says until it ends; this runs in a thread of its own."""
        if process.stderr is not None:
            with process.stderr as stream:
                for line in stream:
                    running.last_words.append(line.rstrip())
                    _LOGGER.info(line.rstrip(), extra={"child": running.child.name})
        self._loop.call_soon_threadsafe(self._on_end, running, process.wait())

    def _on_end(self, running: _Running, code: int) -> None:
        """Start a child again, or end where that is hopeless."""
        served = self._board.ready > 0
        for row in (self._board.rows[place] for place in running.child.rows):
            row.state, row.pid = WorkerState.ABSENT, 0
        running.process = None
        if self._leaving:
            if not any(other.process for other in self._running):
                self._end(0)
            return
        if code == ANEW:
            for other in self._running:
                if other.process is not None:
                    other.process.kill()
        reason = running.reason(code)
        self._failures = 0 if served else self._failures + 1
        if code == REFUSED or self._failures >= _MOST_FAILURES or not self._was_ready():
            _LOGGER.error("%s", reason)
            self._give_up(reason)
            return
        if time.monotonic() - running.began > _LONG_LIFE_S:
            running.pause_s = _FIRST_PAUSE_S
        pause_s, running.pause_s = running.pause_s, min(_LONGEST_PAUSE_S, 2 * running.pause_s)
        for place in running.child.rows:
            self._board.rows[place].count_restart()
        _LOGGER.warning("%s; it is started again in %.1f s", reason, pause_s)
        self._loop.call_later(pause_s, self._start, running)

    def _known(self) -> list[int]:
        """Return the ids of the processes that somebody here waits for."""
        return [*self._companions, *(other.process.pid for other in self._running if other.process is not None)]

    def _was_ready(self) -> bool:
        return (self._folder / PROVEN_FILE).exists()

    def _give_up(self, reason: str) -> None:
        (self._folder / REASON_FILE).write_text(reason, encoding="utf-8")
        self._leaving = True
        self._kill()

    def _end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    def _leave(self) -> None:
        """Ask the children to end, one after the other in their order."""
        if not self._leaving:
            self._leaving = True
            (self._folder / TOLD_FILE).touch()
            self._unready.ignore()
            self._listener.close()
            self._leaver = self._loop.create_task(self._leave_in_order())

    async def _leave_in_order(self) -> None:
        until = self._loop.time() + self._plan.drain_s + _KILL_S
        # Equal children end together: those that speak of workers first, then what is behind them.
        for fronts in (True, False):
            group = [running for running in self._running if bool(running.child.rows) is fronts]
            for running in group:
                if running.process is not None:
                    running.process.send_signal(signal.SIGTERM)
            while any(running.process for running in group):
                if self._loop.time() > until:
                    break
                await asyncio.sleep(_WATCH_S)
        late = [running.child.name for running in self._running if running.process is not None]
        if late:
            _LOGGER.error("%s did not end in time", ", ".join(late))
            self._kill()
        self._end(0)

    def _kill(self) -> None:
        """Kill what is left; the exit code says that it did not end by itself."""
        for running in self._running:
            if running.process is not None:
                running.process.kill()
        kill_strangers([])
        self._end(1)

    async def _watch(self) -> None:
        """Answer for the workers while none is ready, and note when all are for the first time."""
        answers = False
        while not self._leaving:
            ready = self._board.ready
            if ready == len(self._board.rows) and not self._was_ready():
                (self._folder / PROVEN_FILE).touch()
            missing = not ready and self._was_ready()
            if missing and not answers:
                self._unready.listen(self._listener)
            elif answers and not missing:
                self._unready.ignore()
            answers = missing
            await asyncio.sleep(_WATCH_S)


def main(folder: Path) -> int:
    """Run a server; return its exit code."""
    log_to(folder / EVENTS_FILE)
    plan = Plan.read(folder)
    # Cleaners of temporary files leave a folder alone that is locked (see tmpfiles.d).
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with socket.socket(socket.AF_INET6 if ":" in plan.host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((plan.host, plan.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            reason = f"port {plan.port} was taken in the meantime ({error.strerror}); run it again"
            (folder / REASON_FILE).write_text(reason, encoding="utf-8")
            return 1
        listener.settimeout(0)
        return asyncio.run(_run(folder, listener))


async def _run(folder: Path, listener: socket.socket) -> int:
    return await Supervisor(folder, listener).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
