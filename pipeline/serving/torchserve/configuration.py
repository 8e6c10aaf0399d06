"""Writes TorchServe's configuration and its logging settings into a private folder."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline._handlers.answer_size import MAX_ANSWER_BYTES
from pipeline._handlers.description import SERVING_FILE
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline._handlers.torchserve_handler import ACCEPT_HOST
from pipeline.archive.mar import Archive
from pipeline.engine.environment import allowed_environment
from pipeline.engine.places import mounted_noexec, require_temp
from pipeline.errors import ServerError, UsageError
from pipeline.serving.front.plan import LONGEST_WORK_S
from pipeline.serving.golden_question import golden_question
from pipeline.serving.ports import choose_port
from pipeline.serving.server import ServeSettings
from pipeline.serving.torchserve.checks import unfit_temp
from pipeline.serving.torchserve.java import Java
from pipeline.serving.torchserve.native import native_library_installed
from pipeline.serving.torchserve.repairs import torchserve_package, write_repaired_classes
from pipeline.serving.torchserve.sockets import INFERENCE_SOCKET, MANAGEMENT_SOCKET

LOG_FILE = "server.log"
# The log is turned over before it is larger, in bytes. A broken picture may be a line in it, in a library's own words.
_LOG_BYTES = 5_000_000
# Largest frame of requests, in bytes: bodies of `MAX_BODY_BYTES` together, and what says where each begins.
_MAX_REQUEST_BYTES = 5 * MAX_BODY_BYTES // 4
# What stands around the answers in a frame.
_AROUND_ANSWER_BYTES = 65_536
# Folder for temporary files of TorchServe and its workers; it is made anew each time.
JAVA_FOLDER = "java"
# Variables that would change TorchServe, Python or our handler.
_STEERING = ("PYTHONPATH", ACCEPT_HOST, "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
_STEERING_PREFIX = "TS_"

_LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    <RollingFile name="file" fileName="{log}" filePattern="{log}.%i">
      <PatternLayout pattern="%p|%t|%c{{1}}|%m%n"/>
      <SizeBasedTriggeringPolicy size="{bytes}"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MODEL_LOG" level="info"/>
    <Logger name="io.netty" level="error"/>
    <Root level="warn"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""


def private_folder(prefix: str) -> Path:
    """Make a new folder that only this user can enter, with a path short enough for Unix sockets.

    Args:
        prefix: prefix of its name.

    Raises:
        FileError: there is no folder for temporary files.
        ServerError: there is none that a server can work in.
    """
    chosen = require_temp()
    # mkdtemp makes an unpredictable, private folder in it.
    for folder in dict.fromkeys((chosen, Path("/tmp"), Path("/var/tmp"))):  # noqa: S108
        if _unfit(folder, prefix) is None:
            return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    raise ServerError(
        f"{chosen}: expected a folder for temporary files that a server can work in, found {_unfit(chosen, prefix)}, "
        "and the system's own will not do either; set TMPDIR to one"
    )


def _unfit(folder: Path, prefix: str) -> str | None:
    """Say why a server's folder cannot lie in this one; None where it can."""
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return "that it cannot be written to"
    if unfit_temp(folder, prefix) is not None:
        return "that its path is too long for a socket's"
    if mounted_noexec(folder) and not native_library_installed():
        # Without its native library the server talks to its workers through a port, open to all users of this machine.
        return "that it is mounted noexec"
    return None


def write_configuration(folder: Path, archive: Archive, settings: ServeSettings) -> None:
    """Fill a server's private folder: model store, configuration, logging.

    Args:
        folder: an empty folder.
        archive: archive that is served.
        settings: how it is served.
    """
    serving = archive.serving
    for name in ("store", "workflows", "classes"):
        (folder / name).mkdir()
    packed = archive.to_bytes() if settings.trust else archive.to_served_bytes()
    (folder / "store" / f"{serving.name}.mar").write_bytes(packed)
    model = {
        "defaultVersion": True,
        "marName": f"{serving.name}.mar",
        "minWorkers": settings.workers,
        "maxWorkers": settings.workers,
        # The front makes batches, which nobody waits for.
        "batchSize": 1,
        "responseTimeout": int(LONGEST_WORK_S),
    }
    properties = {
        # A port would answer every user of this machine, and every page in a browser on it. The front alone asks here.
        "inference_address": f"unix:{folder / INFERENCE_SOCKET}",
        "management_address": f"unix:{folder / MANAGEMENT_SOCKET}",
        # Workers count up from here; ports of the system's own choice are above this range. Nothing listens on one: the
        # names of the workers' sockets end in them.
        "initial_worker_port": 10_000 + choose_port(None) % 20_000,
        "model_store": folder / "store",
        "workflow_store": folder / "workflows",
        "load_models": f"{serving.name}.mar",
        "models": json.dumps({serving.name: {serving.version: model}}),
        # Nothing may be registered, changed or fetched while it runs. Keys would expire in an hour and cover `/ping`;
        # the private folder keeps others from the management, the loopback address or a proxy from predictions.
        "enable_model_api": "false",
        "disable_token_authorization": "true",
        "allowed_urls": "file:///nowhere/.*",
        "use_env_allowed_urls": "false",
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        # Decoding is the handler's: it bounds sizes and names what is wrong.
        "decode_input_request": "false",
        "max_request_size": _MAX_REQUEST_BYTES,
        "max_response_size": MAX_ANSWER_BYTES + _AROUND_ANSWER_BYTES,
        "enable_metrics_api": "false",
        "disable_system_metrics": "true",
        "default_workers_per_model": settings.workers,
        "job_queue_size": max(100, 4 * settings.workers),  # what waits, waits in the front
    }
    lines = "".join(f"{key}={value}\n" for key, value in properties.items())
    (folder / "config.properties").write_text(lines, encoding="utf-8")
    (folder / "log4j2.xml").write_text(_LOGGING.format(log=folder / LOG_FILE, bytes=_LOG_BYTES), encoding="utf-8")
    (folder / SERVING_FILE).write_bytes(archive.members[SERVING_FILE])
    golden_question(archive, accepted=settings.accept_host).write(folder)
    write_repaired_classes(folder / "classes")


def command(folder: Path, java: Java) -> list[str]:
    """Return the command that runs the server in a folder made by `write_configuration`."""
    package = torchserve_package()
    return [
        str(java.executable),
        f"-Dmodel_server_home={package.parent}",
        f"-Dlog4j.configurationFile={(folder / 'log4j2.xml').as_uri()}",
        f"-Djava.io.tmpdir={folder / JAVA_FOLDER}",
        "-XX:-UsePerfData",  # writes to the shared temporary folder
        "-cp",
        f"{folder}/classes:{package}/frontend/*",
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        f"{folder}/config.properties",
        "-s",
        f"{folder}/store",
        "-w",
        f"{folder}/workflows",
        "-ncs",
    ]


def environment(
    folder: Path, java: Java, *, threads: int, accept_host: bool, passed: Sequence[str] = ()
) -> dict[str, str]:
    """Return the server's environment, which its workers inherit. Nothing in it is secret or steers it from outside.

    Args:
        folder: the server's own folder.
        java: Java runtime that runs it.
        threads: one count of threads for all libraries.
        accept_host: whether workers may serve although their golden answers differ.
        passed: names of further variables that workers get.

    Raises:
        UsageError: one of these variables is not set, or would steer the server.
    """
    own = {
        "JAVA_HOME": str(java.home),
        "TMPDIR": str(folder / JAVA_FOLDER),
        "TEMP": str(folder / JAVA_FOLDER),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    for name in passed:
        if name in (*own, *_STEERING) or name.startswith(_STEERING_PREFIX):
            raise UsageError(
                f"--pass-env {name}: expected a variable for the handler's own code, found one of the server's"
            )
    return {**allowed_environment(passed), **own, **({ACCEPT_HOST: "1"} if accept_host else {})}
