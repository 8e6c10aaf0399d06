"""The first process of a server: `python -m pipeline.serving.front.supervisor FOLDER`.

It opens the port and runs the children of the plan. A child that ends is started again, after a pause that grows. One
that hangs is killed. While no worker is ready it answers for them: 503. SIGTERM lets the children answer what came, and
end.
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
from pathlib import Path
from typing import IO

import psutil

from pipeline.engine.process import start_child
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
    REASON_FILE,
    REFUSED,
    TOLD_FILE,
    Plan,
)
from pipeline.serving.front.running import Running
from pipeline.serving.front.unready import Unready

_LOGGER = logging.getLogger("server")
_BACKLOG = 4096
_WATCH_S = 0.05
# Of a longer time between two looks, this process was not awake for the rest: all of the machine may have stood still.
_LONGEST_LOOK_S = 1.0
# After so many ends in a row, while no worker was ready, the server cannot serve.
_MOST_FAILURES = 5
# Beyond the time that children have to end, in seconds.
_KILL_S = 1.0


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
        self._proven = False  # whether all workers were ready once
        self._failures = 0
        self._running = [
            Running(child, [part.replace(LISTENER, str(listener.fileno())) for part in child.command])
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

    def _start(self, running: Running) -> None:
        if self._leaving:
            return
        running.begin()
        try:
            self._launch(running)
        except OSError as error:  # a full disk, too many processes
            self._failures += 1
            self._start_later(running, f"{running.child.name} cannot be started: {error}")

    def _launch(self, running: Running) -> None:
        child = running.child
        if child.alone:
            kill_strangers(self._known())
        make_anew(self._folder, child)
        for place in child.rows:
            self._board.rows[place].begin()
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

    def _listen(self, running: Running, process: subprocess.Popen[str]) -> None:
        """Log what a child says until it ends; this runs in a thread of its own."""
        if process.stderr is not None:
            with process.stderr as stream:
                for line in stream:
                    running.last_words.append(line.rstrip())
                    _LOGGER.info(line.rstrip(), extra={"child": running.child.name})
        self._loop.call_soon_threadsafe(self._on_end, running, process.wait())

    def _on_end(self, running: Running, code: int) -> None:
        """Start a child again, or end where that is hopeless."""
        if not self._note_who_is_ready():
            self._failures += 1
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
        self._start_later(running, running.reason(code), hopeless=code == REFUSED)

    def _start_later(self, running: Running, reason: str, *, hopeless: bool = False) -> None:
        """Start a child again after a pause, or end where that is hopeless."""
        if hopeless or self._failures >= _MOST_FAILURES or not self._proven:
            _LOGGER.error("%s", reason)
            self._give_up(reason)
            return
        pause_s = running.next_pause()
        for place in running.child.rows:
            self._board.rows[place].count_restart()
        _LOGGER.warning("%s; it is started again in %.1f s", reason, pause_s)
        self._loop.call_later(pause_s, self._start, running)

    def _known(self) -> list[int]:
        """Return the ids of the processes that somebody here waits for."""
        return [*self._companions, *(other.process.pid for other in self._running if other.process is not None)]

    def _give_up(self, reason: str) -> None:
        with contextlib.suppress(OSError):  # a full disk; the server has to end all the same
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
            with contextlib.suppress(OSError):  # a full disk
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
        """Answer for the workers while none is ready, and kill children that hang."""
        answers = False
        looked = self._loop.time()
        while not self._leaving:
            before, looked = looked, self._loop.time()
            if self._proven:  # until then whoever starts the server decides how long it may take
                self._kill_the_silent(min(looked - before, _LONGEST_LOOK_S))
            ready = self._note_who_is_ready()
            missing = not ready and self._proven
            if missing and not answers:
                self._board.first_process_answers = True
                self._unready.listen(self._listener)
            elif answers and not missing:
                self._unready.ignore()
                self._board.first_process_answers = False
            answers = missing
            await asyncio.sleep(_WATCH_S)

    def _kill_the_silent(self, passed_s: float) -> None:
        for running in self._running:
            if running.child.rows:
                running.kill_if_silent(self._board.rows[running.child.rows[0]].beats, passed_s)

    def _note_who_is_ready(self) -> int:
        """Note which children did what they are for; return the number of workers that are ready."""
        rows = self._board.rows
        ready = self._board.ready
        for running in self._running:
            spoken_of = [rows[place] for place in running.child.rows] or rows
            running.was_ready |= any(row.state is WorkerState.READY for row in spoken_of)
        if ready:
            self._failures = 0
        self._proven |= ready == len(rows)
        return ready


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
