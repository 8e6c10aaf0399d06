"""Commands in a mount namespace of their own: what is mounted there is seen by them alone, and ends with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def run_with_mounts(
    mounts: Sequence[str],
    command: Sequence[object],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the test is skipped where nothing may be mounted.

    Args:
        mounts: shell commands that mount, in their order.
        command: the command and its arguments.
        cwd: its working directory.
        environment: variables beside those of this process.
    """
    inner = " && ".join([*mounts, 'exec "$@"'])
    try:
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting needs a namespace of its own: {error}")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", inner, "sh", *map(str, command)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def small_disk(folder: Path, size: str) -> str:
    """Mount a disk of a size, such as 100k, over a folder."""
    return f"mount -t tmpfs -o size={size} none '{folder}'"


def read_only(folder: Path, *, but: Path) -> Sequence[str]:
    """Let nothing be written below a folder, but in one of those in it."""
    return (
        f"mount --bind '{folder}' '{folder}'",
        f"mount --bind '{but}' '{but}'",
        f"mount -o remount,bind,ro '{folder}'",
    )
