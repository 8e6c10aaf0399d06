"""Reports which files of some folders are opened by anybody, with the help of the Linux kernel; see inotify(7)."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

_OPEN, _MODIFY, _CREATE = 0x20, 0x2, 0x100
_OVERFLOW, _IS_FOLDER = 0x4000, 0x40000000
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 20
# This is far more than the number of a project's own folders; a whole home folder has more.
MOST_FOLDERS = 1000


class FolderWatch:
    """Watches folders and all below them until it is closed.

    Args:
        folders: roots; hidden folders and environments of installed packages are left out.
        leave_out: folders that are not watched, nor is anything below them.

    Attributes:
        gap: why not everything can be seen, in words; empty where it can.
    """

    def __init__(self, folders: Sequence[Path], *, leave_out: Iterable[Path] = ()) -> None:
        self.gap = ""
        self._paths: dict[int, Path] = {}
        self._descriptor = -1
        if not sys.platform.startswith("linux"):
            self.gap = f"{sys.platform} does not tell which files are opened"
            return
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            self.gap = f"inotify: {os.strerror(ctypes.get_errno())}"
            return
        watchable, too_many = _folders_below(folders, {path.resolve() for path in leave_out})
        if too_many:
            self.gap = f"more than {MOST_FOLDERS:,} folders below {', '.join(map(str, folders))}"
        for path in watchable:
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(path), _OPEN | _MODIFY | _CREATE)
            if watch < 0:
                self.gap = f"inotify of {path}: {os.strerror(ctypes.get_errno())}"
            else:
                self._paths[watch] = path

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are watched."""
        return tuple(self._paths.values())

    def opened(self) -> tuple[tuple[Path, ...], bool]:
        """The files opened and not written since the last call, and whether the kernel reported all of them."""
        files: dict[Path, None] = {}
        written: set[Path] = set()
        complete = True
        while chunk := self._read():
            place = 0
            while place < len(chunk):
                watch, mask, _, length = _HEAD.unpack_from(chunk, place)
                name = os.fsdecode(chunk[place + _HEAD.size : place + _HEAD.size + length].rstrip(b"\0"))
                place += _HEAD.size + length
                if mask & _OVERFLOW:
                    complete = False
                elif name and watch in self._paths and not mask & _IS_FOLDER:
                    path = self._paths[watch] / name
                    if mask & _OPEN:
                        files[path] = None
                    else:
                        written.add(path)
        return tuple(path for path in files if path not in written), complete

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bytes:
        if self._descriptor < 0:
            return b""
        try:
            return os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return b""


def _folders_below(roots: Sequence[Path], leave_out: set[Path]) -> tuple[list[Path], bool]:
    """The roots and the folders below each, nearest first; and whether there are more than can be watched."""
    below: list[Path] = []
    seen: set[Path] = set()
    roots_left, waiting = deque(roots), deque[Path]()
    while waiting or roots_left:
        waiting = waiting or deque([roots_left.popleft()])
        folder = waiting.popleft()
        real = folder.resolve()
        if real in seen or real in leave_out or (real / "pyvenv.cfg").is_file():
            continue
        seen.add(real)
        if len(below) == MOST_FOLDERS:
            return below, True
        try:
            with os.scandir(folder) as entries:
                inner = sorted(entry.path for entry in entries if entry.name[0] not in "._" and entry.is_dir())
        except OSError:  # this process may not read it, so it opens nothing there
            continue
        below.append(folder)
        waiting.extend(map(Path, inner))
    return below, False
