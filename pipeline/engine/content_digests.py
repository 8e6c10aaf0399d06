"""Digests of the content of many files, each of which is read again only where its size or a time of it changed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.manifest import write_atomically
from pipeline.engine.places import require_folder, user_folder
from pipeline.engine.side_by_side import side_by_side
from pipeline.errors import FileError

VARIABLE = "PIPELINE_DIGESTS"
# A file that was written so shortly before it was read may change again without another time, in nanoseconds; git calls
# it racy.
_RACY_NS = 2_000_000_000
_VERSION = "1"

# Size, both times in nanoseconds, and number of a file.
_Facts = tuple[int, int, int, int]


def content_digests(folder: Path, files: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of each of many files in a folder.

    They are kept in the folder that PIPELINE_DIGESTS names, or in the user's cache, so that a set of many gigabytes is
    not read at each build. A file is read again where its size, its number, or one of its times is another one, as git
    does it. The system sets the time of the last change of its facts by itself, so nobody can set it back.

    Args:
        folder: folder of the files.
        files: paths relative to it.

    Returns:
        Digests, and reasons why files cannot be read, by path.
    """
    place = user_folder("digests", VARIABLE)
    kept = place / f"{digest_bytes(os.fsencode(folder.resolve()))[:32]}.txt"
    try:
        require_folder(place, VARIABLE)
        known, may_keep = _read(kept), True
    except FileError:  # without a place to keep them, files are read at each build
        known, may_keep = {}, False
    facts: dict[str, _Facts] = {}
    unreadable: dict[str, str] = {}
    for file in files:
        try:
            facts[file] = _facts(folder / file)
        except OSError as error:
            unreadable[file] = error.strerror or type(error).__name__
    digests = {file: known[file][0] for file in facts if file in known and known[file][1] == facts[file]}
    pending = [file for file in facts if file not in digests]
    now = time.time_ns()
    outcomes = side_by_side(lambda file: _digest(folder / file), pending, at_once=os.cpu_count() or 1)
    for file, (digest, reason) in zip(pending, outcomes, strict=True):
        if reason:
            unreadable[file] = reason
        else:
            digests[file] = digest
    if pending and may_keep:
        steady = {file: facts[file] for file in digests if max(facts[file][1:3]) < now - _RACY_NS}
        _write(kept, {file: (digests[file], steady[file]) for file in steady})
    return digests, unreadable


def _facts(path: Path) -> _Facts:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(path: Path) -> tuple[str, str]:
    """The digest of a file, or the reason why there is none."""
    try:
        return digest_file(path), ""
    except FileError as error:
        cause = error.__cause__
        return "", (cause.strerror if isinstance(cause, OSError) else None) or str(error)


def _read(path: Path) -> dict[str, tuple[str, _Facts]]:
    known: dict[str, tuple[str, _Facts]] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):  # absent, or damaged: the files are read again
        version, *lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        for line in lines if version == _VERSION else ():
            digest, size, content, change, number, file = line.split(" ", 5)
            known[file] = (digest, (int(size), int(content), int(change), int(number)))
    return known


def _write(path: Path, known: dict[str, tuple[str, _Facts]]) -> None:
    lines = [
        f"{digest} {' '.join(map(str, facts))} {file}" for file, (digest, facts) in known.items() if "\n" not in file
    ]
    with contextlib.suppress(OSError):  # a full disk
        write_atomically(path, "\n".join([_VERSION, *lines]).encode(errors="surrogateescape"))
