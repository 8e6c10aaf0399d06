"""Members of a zip file, read whole and checked."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.artifacts import digest_bytes

# What Python raises on a damaged zip: bad headers, cut members, unknown compression, absurd offsets.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class MemberSpec:
    """A file in an archive.

    Args:
        name: its path in the archive.
        size: bytes, unpacked.
        sha256: of the unpacked bytes.
    """

    name: str
    size: int
    sha256: str


def read_members(stream: BinaryIO) -> tuple[tuple[MemberSpec, ...], dict[str, bytes]]:
    """Read every member of a zip file.

    Args:
        stream: the file.

    Returns:
        The members in the archive's order, folders left out, and their bytes by name.

    Raises:
        ZIP_ERRORS: the file is not a whole zip, or a member fails its checksum.
    """
    with zipfile.ZipFile(stream) as archive:
        data = {one.filename: archive.read(one) for one in archive.infolist() if not one.is_dir()}
    members = tuple(
        MemberSpec(name=name, size=len(content), sha256=digest_bytes(content)) for name, content in data.items()
    )
    return members, data
