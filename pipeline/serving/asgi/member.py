"""Our own server as one of the servers that there are."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.environment import allowed_environment
from pipeline.engine.places import require_temp
from pipeline.engine.probe import MEND_ENVIRONMENT, Check, probe
from pipeline.engine.process import module_command, module_environment
from pipeline.errors import ServerError, UsageError
from pipeline.serving.front.board import Board
from pipeline.serving.front.outside import board_of, described_end, lives, reason_of_end, workers_of
from pipeline.serving.front.plan import BOARD_FILE, LISTENER, LONGEST_WORK_S, Child, Plan
from pipeline.serving.front.together import most_together
from pipeline.serving.server import Command, ServerState, ServeSettings, Worker

if TYPE_CHECKING:  # both need numpy, and the table of servers is read without it
    from pipeline.archive.mar import Archive
    from pipeline.serving.wire import Wire

_POLL_S = 0.05
# Children have to end a little before the server does, in seconds.
_MARGIN_S = 3.0
_PROGRAM = """
from importlib.metadata import version
import httptools, uvloop
print(f"httptools {version('httptools')}, uvloop {version('uvloop')}")
"""


class AsgiServer:
    """See `pipeline.serving.server.Server`; what each part needs is imported where it is needed."""

    title = "the ASGI server"
    libraries: tuple[str, ...] = ("httptools", "uvloop")
    programs: tuple[str, ...] = ("python",)
    folder_prefix = "pipeline-asgi-"
    drain_s = 15.0

    def wire(self) -> Wire:
        """Return its own path and headers."""
        from pipeline.serving.asgi.wire import WIRE

        return WIRE

    def private_folder(self) -> Path:
        """Make a folder; any one will do."""
        return Path(tempfile.mkdtemp(prefix=self.folder_prefix, dir=require_temp()))

    def configure(self, folder: Path, archive: Archive, settings: ServeSettings) -> Command:
        """Unpack the archive, and write the settings and an empty board."""
        from pipeline.serving.asgi.settings import MODEL_FOLDER, Settings
        from pipeline.serving.golden_question import golden_question

        if settings.trust:
            raise UsageError(
                "--trust: expected TorchServe, which runs an archive's own handler, found --server asgi; leave out one"
            )
        archive.unpack(folder / MODEL_FOLDER)
        golden_question(archive, accepted=settings.accept_host).write(folder)
        drain_s = self.drain_s - _MARGIN_S
        Settings(accept_host=settings.accept_host, drain_s=drain_s, most=most_together(archive, settings)).write(folder)
        own_environment = module_environment(threads=archive.serving.runtime.threads)
        environment = {**own_environment, **allowed_environment(settings.pass_env)}
        children = tuple(
            Child(
                name=f"worker {place + 1}",
                command=tuple(module_command("pipeline.serving.asgi.worker", str(folder), str(place), LISTENER)),
                environment=environment,
                rows=(place,),
                silent_s=LONGEST_WORK_S,
            )
            for place in range(settings.workers)
        )
        Plan(host=settings.door.host, port=settings.port, drain_s=drain_s, children=children).write(folder)
        Board.create(folder / BOARD_FILE, settings.workers)
        return Command(
            arguments=module_command("pipeline.serving.front.supervisor", str(folder)), environment=own_environment
        )

    def wait_until_loaded(
        self, state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float
    ) -> None:
        """Watch the board."""
        board = board_of(state)
        while (ready := board.ready) < state.workers:
            if process.poll() is not None:
                reason = self.failure(state, process.returncode)
                raise ServerError(f"{state.url}: expected a running server, found: {reason}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{state.url}: expected {state.workers} ready worker(s) within {timeout_s:g} s, found {ready}; "
                    "give it more time or look for what else keeps this machine busy"
                )
            time.sleep(_POLL_S)

    def failure(self, state: ServerState, code: int | None) -> str:
        """Read the reason that it left behind."""
        return reason_of_end(state) or described_end(code)

    def accepted_difference(self, state: ServerState) -> str | None:
        """Read the difference that a worker left behind."""
        from pipeline.serving.asgi.settings import ACCEPTED_FILE

        with contextlib.suppress(OSError):
            return (Path(state.folder) / ACCEPTED_FILE).read_text(encoding="utf-8")
        return None

    def is_healthy(self, state: ServerState) -> bool:
        """Ask whether it is alive."""
        return lives(state)

    def workers(self, state: ServerState) -> tuple[Worker, ...]:
        """Read the board."""
        return workers_of(state)

    def unfit_temp(self, folder: Path) -> str | None:  # noqa: ARG002 - any folder will do
        """Find nothing wrong with a folder."""
        return None

    def checks(self, python: str) -> tuple[Callable[[], Check], ...]:
        """Check the Python packages."""

        def check() -> Check:
            ok, detail = probe(python, _PROGRAM)
            return Check(name="ASGI server", ok=ok, found=detail, remedy="" if ok else MEND_ENVIRONMENT)

        return (check,)
