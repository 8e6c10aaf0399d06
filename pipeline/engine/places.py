"""Folders of the user, with or without a home, and messages about folders that cannot be written to."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import FileError

# Archives are put into this folder of the working directory.
DEFAULT_MODEL_STORE = Path("model_store")

# These errors mean a full disk, a used-up quota, and a limit on the size of files.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries written in C++ put the system's words into the text of their own errors, without the number.
_WORDS = {os.strerror(number): number for number in _NO_ROOM}
# Libraries written in Rust put the system's number into the text of their own errors, and so does Python's repr.
_NUMBER = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
# These are errors of libraries that write by themselves and hide the system's number: torch and numpy.
_SHORT_WRITE = re.compile(r"file write failed|unexpected pos \d+ vs|\d+ requested and \d+ written")
# Below this a disk counts as full where a library's error does not say why it could not write.
_FULL_BYTES = 1 << 20


def user_folder(name: str, variable: str) -> Path:
    """Folder for files of the user: the one that the variable names, else `~/.cache/pipeline`, else the temp folder.

    Containers often run as a user without a home, or with one that cannot be written to.

    Args:
        name: name of the folder.
        variable: environment variable that names the very folder.
    """
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen)
    try:
        kept = Path.home() / ".cache" / "pipeline" / name
    except RuntimeError:  # HOME is not set, and the system does not know this user
        kept = None
    if kept is not None and _may_be_written(kept):
        return kept
    return Path(tempfile.gettempdir(), f"pipeline-{os.getuid()}", name)


def require_folder(folder: Path, variable: str) -> None:
    """Make a folder, and check that files can be written there, before anything depends on it.

    Args:
        folder: folder that `user_folder` chose.
        variable: environment variable that moves the folder.

    Raises:
        FileError: it cannot be made or written to, or belongs to somebody else.
    """
    try:
        shared = folder.parent.name == f"pipeline-{os.getuid()}"
        if shared:  # below the temp folder, where anybody may have made it
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            status = folder.parent.lstat()
            if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
                raise FileError(f"{folder.parent}: expected a folder of your own, found another's; set {variable}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise FileError(
            f"{folder}: expected a folder to write to, found: {os_error_text(error)}; set {variable} to one"
        ) from error


def require_temp() -> Path:
    """The folder for temporary files.

    Raises:
        FileError: there is none that can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise FileError(
            "TMPDIR: expected a folder for temporary files that can be written to, found none, nor are /tmp, /var/tmp "
            "and the working directory; set TMPDIR to one"
        ) from error


def mounted_noexec(folder: Path) -> bool:
    """Whether no program or library may be run from an existing folder. Linux alone says so; elsewhere it is False."""
    return bool(os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0))


def os_error_text(error: OSError) -> str:
    """The system's message, without Python's number and quotes."""
    return error.strerror or str(error) or type(error).__name__


def no_room(error: BaseException, *folders: Path) -> str | None:
    """One line if an error comes from a full disk, in whatever form a library reports it; else None.

    Args:
        error: error with the errors that it was raised from.
        folders: folders that may have been written to; the line names their free space.

    Returns:
        File or folders, how much is free, what to do.
    """
    for link in chain(error):
        number = _error_number(link)
        if number in _NO_ROOM:
            file = link.filename if isinstance(link, OSError) else None
            places = (Path(os.fsdecode(file)).parent, *folders) if isinstance(file, (str, bytes)) else folders
            free = "" if number == errno.EFBIG else f"; {free_room(*places)}"  # a limit, whatever is free
            return f"{f'{os.fsdecode(file)}: ' if file else ''}{os.strerror(number)}{free}; make room"
    if any(_SHORT_WRITE.search(str(link)) for link in chain(error)):
        full = [folder for folder in folders if folder.exists() and shutil.disk_usage(folder).free < _FULL_BYTES]
        if full:
            return f"{os.strerror(errno.ENOSPC)}; {free_room(*full)}; make room"
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and all errors that it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    match = _NUMBER.search(text)
    if match:
        return int(match[1] or match[2])
    return next((number for words, number in _WORDS.items() if words in text), None)


def folder_bytes(path: Path) -> int:
    """Size of a file, or of all files below a folder. Links are not followed; a file removed meanwhile counts as 0."""
    total = 0
    for name in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        with contextlib.suppress(OSError):
            status = name.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def free_room(*folders: Path) -> str:
    """The free space at each folder, in one clause."""
    clauses = []
    places = list(folders)
    with contextlib.suppress(OSError):  # somebody may have removed the working directory, or there is no other
        places += [Path.cwd()] if not folders else []
        places += [Path(tempfile.gettempdir())]
    for folder in dict.fromkeys(places):
        there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
        clauses.append(f"{shutil.disk_usage(there).free / 1e6:,.0f} MB free at {folder}")
    return ", ".join(clauses)


def _may_be_written(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
