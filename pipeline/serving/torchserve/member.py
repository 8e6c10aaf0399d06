"""TorchServe as one of the servers that there are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.probe import Check
from pipeline.engine.process import module_command, module_environment
from pipeline.serving.front.board import Board
from pipeline.serving.front.outside import lives, reason_of_end, workers_of
from pipeline.serving.front.plan import BOARD_FILE, LISTENER, Child, Plan
from pipeline.serving.front.together import most_together
from pipeline.serving.server import CONSOLE_FILE, Command, ServerState, ServeSettings, Worker

if TYPE_CHECKING:  # both need numpy, and the table of servers is read without it
    from pipeline.archive.mar import Archive
    from pipeline.serving.wire import Wire


# Longest time for the requests that are under way, in seconds.
_DRAIN_S = 12.0
# The front runs no model: no work of it takes as long, in seconds.
_SILENT_S = 20.0


class TorchServe:
    """See `pipeline.serving.server.Server`; what each part needs is imported where it is needed."""

    title = "TorchServe"
    libraries: tuple[str, ...] = ("ts",)
    programs: tuple[str, ...] = ("java", "python")
    folder_prefix = "pipeline-ts-"
    drain_s = _DRAIN_S + 8.0  # the front ends first; TorchServe has nothing left to answer then

    def wire(self) -> Wire:
        """Return its own path and headers."""
        from pipeline.serving.torchserve.wire import WIRE

        return WIRE

    def private_folder(self) -> Path:
        """Make a folder with a path short enough for Unix sockets."""
        from pipeline.serving.torchserve.configuration import private_folder

        return private_folder(self.folder_prefix)

    def configure(self, folder: Path, archive: Archive, settings: ServeSettings) -> Command:
        """Write model store, configuration, logging and repaired classes, for the Java that there is."""
        from pipeline.serving.torchserve.configuration import JAVA_FOLDER, command, environment, write_configuration
        from pipeline.serving.torchserve.java import find_java
        from pipeline.serving.torchserve.sockets import INFERENCE_SOCKET, MANAGEMENT_SOCKET

        java = find_java()
        write_configuration(folder, archive, settings)
        own_environment = module_environment(threads=1)
        most = str(most_together(archive, settings))
        children = (
            Child(
                name="front",
                command=tuple(
                    module_command(
                        "pipeline.serving.torchserve.front_process",
                        str(folder),
                        most,
                        LISTENER,
                    )
                ),
                environment=own_environment,
                rows=tuple(range(settings.workers)),
                silent_s=_SILENT_S,
            ),
            Child(
                name="TorchServe",
                command=tuple(command(folder, java)),
                environment=environment(
                    folder,
                    java,
                    threads=archive.serving.runtime.threads,
                    accept_host=settings.accept_host,
                    passed=settings.pass_env,
                ),
                console=CONSOLE_FILE,
                fresh=(JAVA_FOLDER,),
                stale=(INFERENCE_SOCKET, MANAGEMENT_SOCKET),
                alone=True,
            ),
        )
        Plan(host=settings.door.host, port=settings.port, drain_s=_DRAIN_S, children=children).write(folder)
        Board.create(folder / BOARD_FILE, settings.workers)
        return Command(
            arguments=module_command("pipeline.serving.front.supervisor", str(folder)), environment=own_environment
        )

    def wait_until_loaded(
        self, state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float
    ) -> None:
        """Watch its log and its management, then its open ports."""
        from pipeline.serving.torchserve.listening import require_no_other_port
        from pipeline.serving.torchserve.readiness import wait_until_loaded

        wait_until_loaded(state, process, deadline=deadline, timeout_s=timeout_s)
        require_no_other_port(state)

    def failure(self, state: ServerState, code: int | None) -> str:
        """Read the reason from TorchServe's log, from what Java says outside of it, and from the first process."""
        from pipeline.serving.torchserve.readiness import log_file, server_failure

        return server_failure(log_file(state), code, reason_of_end(state))

    def accepted_difference(self, state: ServerState) -> str | None:
        """Read the difference as a worker wrote it into the log."""
        from pipeline.serving.torchserve.readiness import accepted_difference, log_file

        return accepted_difference(log_file(state))

    def is_healthy(self, state: ServerState) -> bool:
        """Ask whether the front is alive."""
        return lives(state)

    def workers(self, state: ServerState) -> tuple[Worker, ...]:
        """Read the board, which the front keeps in step with TorchServe's management."""
        return workers_of(state)

    def unfit_temp(self, folder: Path) -> str | None:
        """Say where its sockets' paths would be too long."""
        from pipeline.serving.torchserve.checks import unfit_temp

        return unfit_temp(folder, self.folder_prefix)

    def checks(self, python: str) -> tuple[Callable[[], Check], ...]:
        """Check Java and the Python packages."""
        from pipeline.serving.torchserve.checks import check_java, check_torchserve

        return check_java, lambda: check_torchserve(python)
