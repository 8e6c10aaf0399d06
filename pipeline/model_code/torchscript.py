"""The form of TorchScript files of a build: a zip of known members, source that only computes, records without code."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable

from pipeline.engine.zip_errors import ZIP_ERRORS
from pipeline.errors import FileError
from pipeline.model_code.operators import cut, how_to_allow
from pipeline.model_code.pickled import PickleError, check_pickle
from pipeline.model_code.script_source import Source, read_source
from pipeline.model_code.source_text import SourceError

# This is the earliest time that a zip can express. With it, a file does not say when it was made.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_ROOT = "archive/"
_SOURCE = re.compile(r"code/((?:\w+/)*\w+)\.py", re.ASCII)
_STORED = re.compile(r"(data|constants)/(\d+)", re.ASCII)
_RECORDS = {"data.pkl": "data", "constants.pkl": "constants"}
_VERSION = re.compile(rb"\d{1,3}\n?")
# These members have a fixed content, or one that torch's loader ignores.
_VERSIONS = ("version", ".data/version")
_FIXED = frozenset({".format_version", ".storage_alignment", "byteorder", *_VERSIONS})


def write_torchscript(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Pack members into a zip in this order. They are stored without a time, and the bytes are the same everywhere."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in members:
            entry = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
            entry.create_system = 3  # every system writes the value of Unix
            target.writestr(entry, content)
    return buffer.getvalue()


def check_torchscript(name: str, content: bytes, *, allowed_operators: Collection[str] = ()) -> None:
    """Raise an error if a TorchScript file could do more than compute when it is loaded or run.

    Args:
        name: name of the file, for messages.
        content: bytes of the file.
        allowed_operators: names that the user allows beside the list of `pipeline.model_code.operators`.

    Raises:
        FileError: the file does not have the form that a build writes, or calls an operator that is not allowed;
            nothing of it was loaded.
    """
    refused = read_torchscript(name, content).refused(allowed_operators)
    if refused:
        first, (reason, place) = next(iter(refused.items()))
        raise FileError(
            f"{name}: expected operators that only compute, found {cut(first)} ({cut(place)}): {reason}; "
            f"{how_to_allow(refused)}"
        )


def read_torchscript(name: str, content: bytes) -> Source:
    """Read the source of a TorchScript file, and check that its members are those that a build writes.

    Raises:
        FileError: the file does not have that form.
    """
    members = _members(name, content)
    _require_known(name, members)
    files = {
        match[1].replace("/", "."): data.decode("utf-8", errors="replace")
        for member, data in members.items()
        if (match := _SOURCE.fullmatch(member))
    }
    try:
        source = read_source(files)
    except SourceError as error:
        raise FileError(f"{name}: {error}; nothing of it was loaded") from error
    for record, folder in _RECORDS.items():
        storages = {
            match[2]: len(data)
            for member, data in members.items()
            if (match := _STORED.fullmatch(member)) and match[1] == folder
        }
        try:
            check_pickle(members[record], storages, source.types, source.classes)
        except PickleError as error:
            raise FileError(f"{name}: {record}: {error}; nothing of it was loaded") from error
    return source


def _members(name: str, content: bytes) -> dict[str, bytes]:
    """Content of the members by name without the common folder.

    The file has to be byte for byte the one form of its members. Then every reader of zips reads it alike.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            entries = packed.infolist()
            if sum(entry.file_size for entry in entries) > len(content):
                raise zipfile.BadZipFile("members that unpack to more than the file")
            members = [(entry.filename, packed.read(entry)) for entry in entries]
    except ZIP_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"{name}: expected a TorchScript file (a zip), found: {reason}") from error
    # torch's reader does not distinguish capital letters from small ones.
    counts = Counter(member.lower() for member, _ in members)
    if (twice := next((member for member, count in counts.items() if count > 1), None)) is not None:
        raise FileError(f"{name}: expected each member once, found {cut(twice)} {counts[twice]} times")
    if write_torchscript(members) != content:
        raise FileError(
            f"{name}: expected the one form in which a build writes the members of a TorchScript file, found another"
        )
    foreign = next((member for member, _ in members if not member.startswith(_ROOT)), None)
    if foreign is not None:
        raise FileError(f"{name}: expected members under {_ROOT}, found {cut(foreign)!r}")
    return {member.removeprefix(_ROOT): data for member, data in members}


def _require_known(name: str, members: dict[str, bytes]) -> None:
    """Refuse other members: they load code in other ways (bytecode for phones, legacy format, debugging records)."""
    for member in members:
        if member not in _FIXED | _RECORDS.keys() and not _SOURCE.fullmatch(member) and not _STORED.fullmatch(member):
            raise FileError(
                f"{name}: expected source (code/*.py), two pickle records and their tensors, found the member "
                f"{cut(member)!r}; nothing of it was loaded"
            )
    for member in _RECORDS:
        if member not in members:
            raise FileError(f"{name}: expected the member {member}, found none")
    versions = [members[member] for member in _VERSIONS if member in members]
    if not versions or not all(map(_VERSION.fullmatch, versions)) or members.get("byteorder", b"little") != b"little":
        raise FileError(f"{name}: expected a number as version and little as byte order, found others")
