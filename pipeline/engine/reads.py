"""Which files the user's own code reads while it runs: a change of one counts like a change of the code.

Python tells of each file and folder that it opens itself (PEP 578). Libraries in C or Rust, such as safetensors, h5py
and pyarrow, open files past it; of those, Linux tells in the recipe's folder and in the working directory. Neither
sees what such a library opens elsewhere, environment variables, or the network. A path among the factory's arguments
counts in any case; see `pipeline.engine.argument_files`.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.inotify import FolderWatch
from pipeline.engine.source import collect
from pipeline.errors import FileError

# All files lie below it: for code whose result is compared itself.
ANY_FILE = Path("/")
# In place of a digest: code that found no file may find one the next time.
_NO_FILE = "none"
_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc")))
_OURS = Path(__file__).resolve().parent
_PACKAGE_FOLDERS = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(kw_only=True)
class _Opened:
    """What Python opened in one stretch of the user's code, as the code named it, in order.

    Args:
        folder: of the recipe.
        importing: whether modules are imported.
        read: files, each with the user's own module that opened it while it was imported; empty where that cannot be
            told.
        listed: folders, likewise.
        written: files that are none of an input.
    """

    folder: Path
    importing: bool
    read: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Recording:
    """What the user's code has read since a stage began.

    Args:
        folder: of the recipe.
        leave_out: what lies below does not count, such as the run directory.
        file: where it is kept as it grows, so that a killed run leaves it behind.

    Attributes:
        found: SHA-256 by name, of each file and of each listed folder's file names; `now` gives it again.
        gap: why not everything could be seen, in words; empty where it could.
    """

    folder: Path
    leave_out: tuple[Path, ...]
    file: Path | None
    found: dict[str, str] = field(default_factory=dict)
    gap: str = ""
    _factories: set[str] = field(default_factory=set)
    _sources: set[Path] = field(default_factory=set)
    _watch: FolderWatch | None = None

    def watch(self) -> FolderWatch:
        """The folders in which other libraries' opens are seen. A recipe without code of the user's needs none."""
        if self._watch is None:
            self._watch = FolderWatch((self.folder, Path.cwd()), leave_out=(*self.leave_out, *_SYSTEM))
            self.gap = self._watch.gap
        return self._watch

    def take(self, factory: str, reads: Mapping[str, str]) -> None:
        """Count what a factory read, and what importing its modules read, maybe before this recording.

        A module is imported once in a process, so on behalf of the factory that comes first. What it read then counts
        for every factory that it belongs to, and for no other: else it would depend on which stages run together.
        """
        if factory not in self._factories:
            self._factories.add(factory)
            sources = collect(factory.partition(":")[0], self.folder).files
            self._sources.update(self.folder / name for name in sources)
        before = len(self.found)
        for name, digest in reads.items():
            self.found.setdefault(name, digest)
        for owner, imported in _kept.get(self.folder, {}).items():
            for name, (digest, reader) in imported.items():
                # Another factory's module is its own source; a file that it read may have gone into a shared module.
                shared = not name.endswith(".py") and (not reader or Path(reader) in self._sources)
                if owner in self._factories or shared:
                    self.found.setdefault(name, digest)
        if self.file is not None and len(self.found) > before:
            self.file.write_text(json.dumps(self.found, sort_keys=True), encoding="utf-8")

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()


_opened: list[_Opened] = []
_recordings: list[Recording] = []
# By recipe folder and factory, what importing modules read, digest and reader: once in a process, so that it counts for
# later stages too.
_kept: dict[Path, dict[str, dict[str, tuple[str, str]]]] = {}
_is_hooked: list[bool] = []


@contextmanager
def recording(folder: Path, *, leave_out: Sequence[Path] = (), file: Path | None = None) -> Iterator[Recording]:
    """Record what the user's code reads inside the block; arguments as for `Recording`."""
    current = Recording(folder=folder.resolve(), leave_out=tuple(path.resolve() for path in leave_out), file=file)
    _recordings.append(current)
    try:
        yield current
    finally:
        _recordings.remove(current)
        current.close()


def recorded() -> dict[str, str]:
    """What the recording that is going on has found so far; empty without one."""
    return dict(_recordings[-1].found) if _recordings else {}


@contextmanager
def observed(factory: str, folder: Path, *, covered: Sequence[Path] = (), importing: bool = False) -> Iterator[None]:
    """The user's code runs inside the block: what it reads is digested right after it, and counts.

    Args:
        factory: on whose behalf.
        folder: of the recipe.
        covered: what lies below is digested otherwise.
        importing: a module of the user's, which this process does once.
    """
    if ANY_FILE in covered:
        yield
        return
    _hook()
    place = folder.resolve()
    current = _recordings[-1] if _recordings and _recordings[-1].folder == place else None
    if current is not None:
        _drain(current)
    opened = _Opened(folder=place, importing=importing)
    _opened.append(opened)
    try:
        yield
    finally:
        if current is not None:
            _drain(current)
        _opened.pop()
        left_out = (*covered, *(current.leave_out if current is not None else ()))
        kept = _kept.setdefault(place, {}).setdefault(factory, {})
        called: dict[str, str] = {}
        for path, reader in (opened.read | {f"{path}/": reader for path, reader in opened.listed.items()}).items():
            if not _counts(path, left_out):
                continue
            name = _name_of(path, place)
            if current is not None and name in current.found:  # it is as it was when it was first read
                continue
            if importing or name.endswith(".py"):
                kept[name] = now(name, place), reader
            else:
                called[name] = now(name, place)
        if current is not None:
            current.take(factory, called)


def now(name: str, folder: Path) -> str:
    """What a recording's digest of a name would be now.

    Args:
        name: of a file; with a slash at its end, of a folder. Absolute; with `./` in front relative to the working
            directory, because the user's code named it so; else relative to the recipe's folder.
        folder: of the recipe.
    """
    path = Path(name) if name.startswith("./") else folder / name
    try:
        if not name.endswith("/"):
            return digest_file(path) if path.is_file() else _NO_FILE
        # Folders in it are listed by themselves, where the code looks into them.
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
        return digest_bytes(json.dumps(names).encode())
    except (OSError, FileError):
        return _NO_FILE


def difference(reads: Mapping[str, str], folder: Path) -> str:
    """The first of some recorded files that is another one now, in words; empty if all are the same."""
    for name, before in reads.items():
        after = now(name, folder)
        if after != before:
            change = "is missing" if after == _NO_FILE else "is there now" if before == _NO_FILE else "changed"
            return f"{name}, which the recipe's code read, {change}"
    return ""


def _drain(current: Recording) -> None:
    """Give what was opened until now to the stretch of the user's code that runs; without one, nobody asked for it."""
    watch = current.watch()
    files, complete = watch.opened()
    if not _opened:
        return
    known = {os.path.realpath(path) for path in _opened[-1].read}
    if not complete:  # more at once than the kernel keeps: any of them
        files = tuple(path for folder in watch.folders for path in folder.iterdir() if path.is_file())
    for path in map(str, files):
        # Python told of its own sources already; others read them to show a line.
        if os.path.realpath(path) not in known and not path.endswith(".py"):
            _opened[-1].read[path] = ""


def _hook() -> None:
    if not _is_hooked:  # a hook cannot be taken back
        _is_hooked.append(True)
        sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if not _opened or event not in ("open", "os.listdir", "os.scandir"):
        return
    path = arguments[0]
    if path is None:
        path = "."
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    elif isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):  # a descriptor, opened before
        return
    opened = _opened[-1]
    if event != "open":
        # The import system lists folders to find modules in them.
        if not _is_import(inspect.currentframe()):
            opened.listed[path.rstrip("/") or "/"] = _reader(inspect.currentframe(), opened)
        return
    flags = arguments[2]
    is_new = flags & (os.O_TRUNC | os.O_EXCL) or flags & os.O_ACCMODE == os.O_WRONLY
    if is_new:
        opened.written.add(path)
    elif path not in opened.written:
        opened.read[path] = _reader(inspect.currentframe(), opened)


def _reader(hook: FrameType | None, opened: _Opened) -> str:
    """The innermost of the user's own modules that run while one is imported; empty where none does."""
    frame = hook if opened.importing else None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(f"{opened.folder}{os.sep}") and _counts(file, ()):
            return file
        frame = frame.f_back
    return ""


def _is_import(hook: FrameType | None) -> bool:
    """Whether the import system is what called a hook."""
    caller = hook.f_back if hook is not None else None
    return caller is not None and caller.f_code.co_filename.startswith("<frozen importlib")


def _counts(path: str, left_out: Sequence[Path]) -> bool:
    """Whether a file or folder is the user's: no part of Python, of an installed package, of the system or of ours."""
    places = {_absolute(path), Path(path).resolve()}
    installed = (*installed_folders(), _OURS, *_SYSTEM, *left_out)
    return not any(
        place.suffix == ".pyc" or _PACKAGE_FOLDERS & set(place.parts) or any(map(place.is_relative_to, installed))
        for place in places
    )


def _absolute(path: str) -> Path:
    """Without `..` in it, links left as they are."""
    return Path(os.path.normpath(Path.cwd() / path))


@lru_cache(maxsize=1)
def installed_folders() -> tuple[Path, ...]:
    """Where Python's own modules and installed packages lie."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(Path(path) for name in names if (path := sysconfig.get_path(name)))


def _name_of(path: str, folder: Path) -> str:
    """A name that stays right where the recipe's folder is moved; see `now`."""
    end = "/" if path.endswith("/") else ""
    if not Path(path).is_absolute():
        return f"./{os.path.normpath(path)}{end}"
    place = _absolute(path)
    if place.is_relative_to(folder) and place != folder:
        return f"{place.relative_to(folder).as_posix()}{end}"
    return f"{place}{end}"
