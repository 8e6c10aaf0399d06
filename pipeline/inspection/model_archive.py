"""Describes the content of a `.mar`: members, manifest, serving document and model file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal

from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.zip_errors import ZIP_ERRORS
from pipeline.errors import FileError
from pipeline.inspection.model_file import ModelInspection, inspect_model, kind_by_ending
from pipeline.inspection.zips import MemberSpec, read_members
from pipeline.visible import visible

_MANIFEST = "MAR-INF/MANIFEST.json"
_SERVING = "serving.json"
_EVIDENCE = "evidence.json"


@dataclass(frozen=True, kw_only=True)
class ArchiveInspection:
    """The content of a model archive.

    Args:
        file: name of the file.
        size: size in bytes.
        sha256: digest of its bytes.
        members: files in the archive, in its order.
        manifest: TorchServe's own description.
        serving: content of `serving.json`; None in an archive of another origin.
        judged_by: what its evidence says that decisions were held against; None where it says nothing.
        model: content of its model file; None if its ending is not that of a format.
    """

    file: str
    size: int
    sha256: str
    members: tuple[MemberSpec, ...]
    manifest: dict[str, Any]
    serving: dict[str, Any] | None
    judged_by: str | None
    model: ModelInspection | None
    format: Literal["mar"] = "mar"

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return asdict(self)


def inspect_archive(name: str, content: bytes) -> ArchiveInspection:
    """Read a model archive without unpacking it to disk or running anything in it.

    This lists what is there. Whether that is what was packed, `pipeline verify` checks.

    Args:
        name: name of the file, for messages.
        content: bytes of the file.

    Raises:
        FileError: the bytes are not a whole zip file, or it has no readable manifest.
    """
    try:
        members, data = read_members(BytesIO(content))
    except ZIP_ERRORS as error:
        raise FileError(f"{name}: expected a .mar zip archive, found: {error}; the file is damaged") from error
    manifest = _document(name, _MANIFEST, data)
    if manifest is None:
        raise FileError(f"{name}: expected the member {_MANIFEST}, found none among {len(members)}; it is no .mar")
    serving = _document(name, _SERVING, data)
    listed = manifest.get("model")
    file = listed.get("serializedFile") if isinstance(listed, dict) else None
    model: ModelInspection | None = None
    if isinstance(file, str):
        if file not in data:
            raise FileError(f"{name}: expected the model file {file} that its manifest names, found no such member")
        kind = kind_by_ending(file)
        model = None if kind is None else inspect_model(kind, file, data[file])
    return ArchiveInspection(
        file=name,
        size=len(content),
        sha256=digest_bytes(content),
        members=members,
        manifest=manifest,
        serving=serving,
        judged_by=_judged_by(name, data),
        model=model,
    )


def _judged_by(archive: str, data: dict[str, bytes]) -> str | None:
    try:
        evidence = _document(archive, _EVIDENCE, data)
    except FileError:
        return None  # the model in it can be looked at all the same
    return None if evidence is None else visible(str(evidence.get("judged_by", "targets")))


def _document(archive: str, member: str, data: dict[str, bytes]) -> dict[str, Any] | None:
    if member not in data:
        return None
    try:
        document = json.loads(data[member])
    except (ValueError, RecursionError) as error:
        raise FileError(f"{archive}: {member}: expected JSON, found: {error}; the archive is damaged") from error
    if not isinstance(document, dict):
        raise FileError(f"{archive}: {member}: expected a JSON object, found {type(document).__name__}")
    return document
