"""Files that an interrupted run keeps for a later one. Each has a digest, so that damage is noticed and repaired."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from pipeline.engine.artifacts import digest_file
from pipeline.engine.manifest import write_atomically

_MARK = b"sha256 "
_HEADER_BYTES = len(_MARK) + 64 + 1

Log = Callable[[str], None]


def write_kept(path: Path, content: bytes) -> None:
    """Replace a file in one step; the digest of its content stands in front of it.

    The digest stands in the same file, because a kill between two files would leave the digest of another content.

    Args:
        path: path of the file, in a folder that exists.
        content: bytes that `read_kept` returns.
    """
    write_atomically(path, _header(content) + content)


def read_kept(path: Path, log: Log, *, drop: bool = True) -> bytes | None:
    """Read a file that `write_kept` wrote, if it is there and whole.

    Args:
        path: path of the file.
        log: called with a line of text if the file is damaged; it then counts as missing.
        drop: whether a damaged file is removed, and the line logged; else it stays as it is.

    Returns:
        The content; None where it has to be made again.
    """
    if not path.exists():
        return None
    stored = path.read_bytes()
    content = stored[_HEADER_BYTES:]
    if stored[:_HEADER_BYTES] != _header(content):
        if drop:
            drop_damaged(path, log)
        return None
    return content


def keep_file(source: Path, path: Path) -> None:
    """Move a finished file to its place, for libraries that read it there. Its digest is first written beside it.

    A kill in between leaves a digest without its file, or with a former file, which is then made again.

    Args:
        source: path of the finished file, in the same file system.
        path: path of its place.
    """
    write_atomically(digest_beside(path), digest_file(source).encode())
    source.replace(path)


def is_kept(path: Path, log: Log) -> bool:
    """Whether a file that `keep_file` put in its place is there and whole.

    Args:
        path: path of the file.
        log: called with a line of text if the file is damaged; it then counts as missing.
    """
    if not path.exists():
        return False
    beside = digest_beside(path)
    if beside.is_file() and beside.read_bytes() == digest_file(path).encode():
        return True
    drop_damaged(path, log)
    return False


def drop_damaged(path: Path, log: Log) -> None:
    """Log that a kept file is damaged, and remove it, so that this is logged once.

    Args:
        path: path of the file.
        log: called with the line of text.
    """
    log(f"{path}: expected what an earlier run kept, found other bytes; it is made again")
    path.unlink(missing_ok=True)


def digest_beside(path: Path) -> Path:
    """Path of the digest of a kept file."""
    return path.with_name(f"{path.name}.sha256")


def _header(content: bytes) -> bytes:
    return _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n"
