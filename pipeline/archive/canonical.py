"""The canonical form of an archive's zip: the same members give the same bytes."""

from __future__ import annotations

import io
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.engine.zip_errors import ZIP_ERRORS
from pipeline.errors import FileError

# The oldest time that a zip can hold.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
# Bytes of an entry of a zip's central directory without its name: APPNOTE.TXT 6.3.10, section 4.3.12.
_DIRECTORY_ENTRY_BYTES = 46


def canonical_zip(members: Mapping[str, bytes]) -> bytes:
    """Return the one form of a file with these members; stored, because compressed bytes vary with zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, date_time=_ZIP_TIME)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, members[name])
    return buffer.getvalue()


def first_difference(canonical: bytes, content: bytes) -> str:
    """Say where two zips of the same members part: at whose headers, between which members, or behind them all."""
    shared = range(min(len(canonical), len(content)))
    # Beginnings are compared as wholes: a look at each byte takes seconds in a large archive.
    place = bisect_left(shared, 1, key=lambda at: int(canonical[: at + 1] != content[: at + 1]))
    with zipfile.ZipFile(io.BytesIO(canonical)) as packed:
        entries = packed.infolist()
        directory = packed.start_dir
    if place < directory:
        owner = max((entry for entry in entries if entry.header_offset <= place), key=lambda entry: entry.header_offset)
        return f"in the header of {owner.filename} (byte {place})"
    for entry in entries:
        directory += _DIRECTORY_ENTRY_BYTES + len(entry.filename.encode())
        if place < directory:
            return f"in the directory entry of {entry.filename} (byte {place})"
    return f"behind the last member (byte {place})"


def read_members(path: Path, content: bytes) -> dict[str, bytes]:
    """Return the content by name of every member of a zip.

    Args:
        path: path of the archive, for messages.
        content: content of the file.

    Raises:
        FileError: it is no zip, is damaged, or has a member that no archive of ours has.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            entries = packed.infolist()
            for entry in entries:
                _check_entry(path, entry)
            if sum(entry.file_size for entry in entries) > len(content):
                raise FileError(f"{path}: expected stored members, found sizes beyond the file's own")
            for name, count in Counter(entry.filename for entry in entries).items():
                if count > 1:
                    raise FileError(f"{path}: {name}: expected each member once, found {count}")
            return {entry.filename: packed.read(entry) for entry in entries}
    except ZIP_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(
            f"{path}: expected a whole .mar archive (a zip), found: {reason}; the file is damaged or truncated"
        ) from error


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts or not entry.filename or "\\" in entry.filename:
        raise FileError(f"{path}: {entry.filename!r}: expected a relative member name")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise FileError(f"{path}: {entry.filename}: expected a stored member, found a compressed one")
