"""Records which files the user's own code reads while it runs: a change of one counts like a change of the code.

Python reports each file and folder that it opens itself (PEP 578). Libraries in C or Rust, such as safetensors, h5py
and pyarrow, open files without Python; Linux reports those in the recipe's folder and in the working directory. Neither
report covers files that such a library opens elsewhere, environment variables, or the network. A path among the
factory's arguments counts in any case; see `pipeline.engine.argument_files`.
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

# All files lie below this folder. It stands for code whose result itself is compared.
ANY_FILE = Path("/")
# This stands in place of a digest. Code that found no file may find one the next time.
_NO_FILE = "none"
_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc")))
_OURS = Path(__file__).resolve().parents[1]
_PACKAGE_FOLDERS = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(kw_only=True)
class _Opened:
    """The files and folders that Python opened in one stretch of the user's code, as the code named them, in order.

    Args:
        folder: folder of the recipe.
        importing: whether modules are imported.
        read: files, each with the user's own module that opened it while it was imported; empty where that module is
            not known.
        listed: folders, each with such a module.
        written: files that the code wrote; they are not inputs.
    """

    folder: Path
    importing: bool
    read: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Recording:
    """The files that the user's code has read since a stage began.

    Args:
        folder: folder of the recipe.
        leave_out: folders whose files do not count, such as the run directory.
        file: file in which the recording is kept as it grows, so that a killed run leaves it behind.

    Attributes:
        digests: SHA-256 of each file and of each listed folder's file names, by name; `now` computes it again.
        gap: why not everything could be seen, in words; empty where it could.
    """

    folder: Path
    leave_out: tuple[Path, ...]
    file: Path | None
    digests: dict[str, str] = field(default_factory=dict)
    gap: str = ""
    _factories: set[str] = field(default_factory=set)
    _sources: set[Path] = field(default_factory=set)
    _watch: FolderWatch | None = None

    def watch(self) -> FolderWatch:
        """The watch of folders that sees what other libraries open. A recipe without code of the user's needs none."""
        if self._watch is None:
            self._watch = FolderWatch((self.folder, Path.cwd()), leave_out=(*self.leave_out, *_SYSTEM))
            self.gap = self._watch.gap
        return self._watch

    def take(self, factory: str, reads: Mapping[str, str]) -> None:
        """Count what a factory read, and what its modules read when they were imported, maybe before this recording.

        A module is imported once in a process, on behalf of the factory that comes first. What it reads then counts for
        every factory that the module belongs to, and for no other. Otherwise it would depend on which stages run
        together.
        """
        if factory not in self._factories:
            self._factories.add(factory)
            sources = collect(factory.partition(":")[0], self.folder).files
            self._sources.update(self.folder / name for name in sources)
        before = len(self.digests)
        for name, digest in reads.items():
            self.digests.setdefault(name, digest)
        for owner, imported in _kept.get(self.folder, {}).items():
            for name, (digest, reader) in imported.items():
                # The module of another factory is source of that factory alone. A file that such a module read may have
                # gone into a shared module.
                shared = not name.endswith(".py") and (not reader or Path(reader) in self._sources)
                if owner in self._factories or shared:
                    self.digests.setdefault(name, digest)
        if self.file is not None and len(self.digests) > before:
            self.file.write_text(json.dumps(self.digests, sort_keys=True), encoding="utf-8")

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()


_opened: list[_Opened] = []
_recordings: list[Recording] = []
# Digest and reader of the files that were read while modules were imported, by recipe folder, factory and file. A
# module is imported once in a process, so these files count for later stages too.
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
    """The digests of the current recording so far; empty where none is going on."""
    return dict(_recordings[-1].digests) if _recordings else {}


@contextmanager
def observed(factory: str, folder: Path, *, covered: Sequence[Path] = (), importing: bool = False) -> Iterator[None]:
    """Record what the user's code reads inside the block. The files are digested right after the block.

    Args:
        factory: function on whose behalf the code runs, as `module:function`.
        folder: folder of the recipe.
        covered: folders and files whose content is digested elsewhere.
        importing: whether the code is a module of the user's that is imported, which this process does once.
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
            if current is not None and name in current.digests:  # the first digest of a file counts
                continue
            if importing or name.endswith(".py"):
                kept[name] = now(name, place), reader
            else:
                called[name] = now(name, place)
        if current is not None:
            current.take(factory, called)


def now(name: str, folder: Path) -> str:
    """The digest that a recording would take of a name now.

    Args:
        name: name of a file, or of a folder if it ends in a slash. It is absolute, or relative to the working directory
            with `./` in front, because the user's code named it so, or else relative to the recipe's folder.
        folder: folder of the recipe.
    """
    path = Path(name) if name.startswith("./") else folder / name
    try:
        if not name.endswith("/"):
            return digest_file(path) if path.is_file() else _NO_FILE
        # A folder inside is listed by itself where the code looks into it.
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
        return digest_bytes(json.dumps(names).encode())
    except (OSError, FileError):
        return _NO_FILE


def difference(reads: Mapping[str, str], folder: Path) -> str:
    """The first recorded file whose digest is different now, in words; empty if all are the same."""
    for name, before in reads.items():
        after = now(name, folder)
        if after != before:
            change = "is missing" if after == _NO_FILE else "is there now" if before == _NO_FILE else "changed"
            return f"{name}, which the recipe's code read, {change}"
    return ""


def _drain(current: Recording) -> None:
    """Add the files opened until now to the stretch of the user's code that runs; drop them where none runs."""
    watch = current.watch()
    files, complete = watch.opened()
    if not _opened:
        return
    reported = {os.path.realpath(path) for path in _opened[-1].read}
    if not complete:  # the kernel lost some events, so every file may have been opened
        files = tuple(path for folder in watch.folders for path in folder.iterdir() if path.is_file())
    for path in map(str, files):
        # Python itself has reported its sources. Others read a source to show one of its lines.
        if os.path.realpath(path) not in reported and not path.endswith(".py"):
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
    """The innermost of the user's own modules that runs while one is imported; empty where none runs."""
    frame = hook if opened.importing else None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(f"{opened.folder}{os.sep}") and _counts(file, ()):
            return file
        frame = frame.f_back
    return ""


def _is_import(hook: FrameType | None) -> bool:
    """Whether the import system called the hook."""
    caller = hook.f_back if hook is not None else None
    return caller is not None and caller.f_code.co_filename.startswith("<frozen importlib")


def _counts(path: str, left_out: Sequence[Path]) -> bool:
    """Whether a file or folder is the user's: it is no part of Python, a package, the system or this project."""
    places = {_absolute(path), Path(path).resolve()}
    installed = (*installed_folders(), _OURS, *_SYSTEM, *left_out)
    return not any(
        place.suffix == ".pyc" or _PACKAGE_FOLDERS & set(place.parts) or any(map(place.is_relative_to, installed))
        for place in places
    )


def _absolute(path: str) -> Path:
    """The absolute path without `..` in it; links are not followed."""
    return Path(os.path.normpath(Path.cwd() / path))


@lru_cache(maxsize=1)
def installed_folders() -> tuple[Path, ...]:
    """Folders of Python's own modules and of installed packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(Path(path) for name in names if (path := sysconfig.get_path(name)))


def _name_of(path: str, folder: Path) -> str:
    """A name of a path that stays right when the recipe's folder is moved; see `now`."""
    end = "/" if path.endswith("/") else ""
    if not Path(path).is_absolute():
        return f"./{os.path.normpath(path)}{end}"
    place = _absolute(path)
    if place.is_relative_to(folder) and place != folder:
        return f"{place.relative_to(folder).as_posix()}{end}"
    return f"{place}{end}"
