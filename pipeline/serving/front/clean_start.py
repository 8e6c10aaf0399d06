"""What is cleared away before a child is started again, and what children leave behind when they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

import psutil

from pipeline.serving.front.plan import Child

# This number is from <linux/prctl.h>.
_PR_SET_CHILD_SUBREAPER = 36


def make_anew(folder: Path, child: Child) -> None:
    """Remove what an earlier process of a child left, and make its folders.

    Args:
        folder: the server's private folder.
        child: the child.
    """
    for name in child.stale:
        (folder / name).unlink(missing_ok=True)
    for name in child.fresh:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()


def kill_strangers(known: Collection[int]) -> None:
    """Kill every process of this session that is neither this one nor one of the known ones, nor a child of these.

    A child that was killed leaves its own children behind.

    Args:
        known: ids of the processes that go on.
    """
    session = os.getsid(0)
    kept = {os.getpid(), *known}
    for pid in known:
        with contextlib.suppress(psutil.Error):
            kept.update(process.pid for process in psutil.Process(pid).children(recursive=True))
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in kept and os.getsid(process.pid) == session:
                process.kill()


def adopt_orphans() -> None:
    """Let Linux make this process the parent of what its children leave behind.

    In a container these would else go to its first process, which waits for no process but its own: each one that
    ended would keep its number until the container ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(known: Collection[int]) -> None:
    """Let go of the adopted processes that ended.

    Args:
        known: ids of the processes that this process started. Somebody waits for each of these.
    """
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in known and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
