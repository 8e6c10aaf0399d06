"""Reads the members of a zip file whole and checks them."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.engine.artifacts import digest_bytes

# All members that are read stay in memory. Weights shrink to a tenth at best; only a file that is made to fill the
# memory unpacks to more.
_MAX_UNPACKED_BYTES = 512 << 20
_MAX_RATIO = 4
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class MemberSpec:
    """A file in an archive.

    Args:
        name: path in the archive.
        size: unpacked size in bytes.
        sha256: digest of the unpacked bytes.
    """

    name: str
    size: int
    sha256: str


def read_members(stream: BinaryIO) -> tuple[tuple[MemberSpec, ...], dict[str, bytes]]:
    """Read every member of a zip file.

    Args:
        stream: opened file.

    Returns:
        The members in the archive's order, without folders, and their bytes by name.

    Raises:
        zip_errors.ZIP_ERRORS: the file is not a whole zip, a member fails its checksum, or it unpacks to far more than
            itself.
    """
    with zipfile.ZipFile(stream) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        largest = max(_MAX_UNPACKED_BYTES, _MAX_RATIO * stream.seek(0, os.SEEK_END))
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > largest:
            raise zipfile.BadZipFile(f"members of {unpacked} bytes unpacked, at most {largest} are read")
        data = {entry.filename: _read(archive, entry) for entry in entries}
    members = tuple(
        MemberSpec(name=name, size=len(content), sha256=digest_bytes(content)) for name, content in data.items()
    )
    return members, data


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read a member in chunks. In one read, zipfile would unpack all there is, whatever size the header states."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # a chunk of other methods has no bound
        raise zipfile.BadZipFile(f"{entry.filename}: compression method {entry.compress_type}, only 0 and 8 are read")
    with archive.open(entry) as member:
        return b"".join(iter(lambda: member.read(_CHUNK_BYTES), b""))
