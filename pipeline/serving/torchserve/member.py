"""TorchServe as one of the servers that there are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.probe import Check
from pipeline.serving.server import Command, ServerState, ServeSettings, Worker

if TYPE_CHECKING:  # both need numpy, and the table of servers is read without it
    from pipeline.archive.mar import Archive
    from pipeline.serving.wire import Wire


class TorchServe:
    """See `pipeline.serving.server.Server`; what each part needs is imported where it is needed."""

    title = "TorchServe"
    libraries: tuple[str, ...] = ("ts",)
    programs: tuple[str, ...] = ("java", "python")
    folder_prefix = "pipeline-ts-"
    drain_s = 5.0  # it does not finish open requests on SIGTERM

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
        from pipeline.serving.torchserve.configuration import command, environment, write_configuration
        from pipeline.serving.torchserve.java import find_java

        java = find_java()
        write_configuration(folder, archive, settings)
        return Command(
            arguments=command(folder, java),
            environment=environment(
                folder,
                java,
                threads=archive.serving.runtime.threads,
                accept_host=settings.accept_host,
                passed=settings.pass_env,
            ),
        )

    def wait_until_loaded(
        self, state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float
    ) -> None:
        """Watch its log and its management, then its open ports."""
        from pipeline.serving.torchserve.listening import require_no_other_port
        from pipeline.serving.torchserve.readiness import wait_until_loaded

        wait_until_loaded(state, process, deadline=deadline, timeout_s=timeout_s)
        require_no_other_port(state)

    def failure(self, state: ServerState, code: int) -> str:
        """Read the reason from its log, and from what Java says outside of it."""
        from pipeline.serving.torchserve.readiness import log_file, server_failure

        return server_failure(log_file(state), code)

    def accepted_difference(self, state: ServerState) -> str | None:
        """Read the difference as a worker wrote it into the log."""
        from pipeline.serving.torchserve.readiness import accepted_difference, log_file

        return accepted_difference(log_file(state))

    def is_healthy(self, state: ServerState) -> bool:
        """Ask its own `/ping`."""
        from pipeline.serving.torchserve.management import is_healthy

        return is_healthy(state.url)

    def workers(self, state: ServerState) -> tuple[Worker, ...]:
        """Ask its management."""
        from pipeline.serving.torchserve.management import describe_workers, management_socket

        return describe_workers(management_socket(state), state.model)

    def unfit_temp(self, folder: Path) -> str | None:
        """Say where its sockets' paths would be too long."""
        from pipeline.serving.torchserve.checks import unfit_temp

        return unfit_temp(folder, self.folder_prefix)

    def checks(self, python: str) -> tuple[Callable[[], Check], ...]:
        """Check Java and the Python packages."""
        from pipeline.serving.torchserve.checks import check_java, check_torchserve

        return check_java, lambda: check_torchserve(python)
