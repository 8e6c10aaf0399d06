"""What is cleared away before a child is started again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import psutil

from pipeline.serving.front.plan import Child


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
