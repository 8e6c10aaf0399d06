"""The archive: a TorchServe `.mar` with everything that is needed to answer, and to prove the answers.

It is made by torch-model-archiver, then rewritten in one canonical form: members in order, stored, fixed times and
permissions. The same inputs give the same bytes, and any byte that differs from that form is an alteration.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline._handlers.arrays import load_arrays
from pipeline._handlers.description import SERVING_FILE, Serving
from pipeline._handlers.golden import require_golden
from pipeline._handlers.golden_pictures import require_pictures
from pipeline.archive.archiver import run_archiver
from pipeline.archive.canonical import canonical_zip, first_difference, read_members
from pipeline.archive.members import (
    EVIDENCE_FILE,
    HANDLER_FILE,
    MANIFEST,
    handler_sources,
    make_manifest,
    read_serving,
    require_known_members,
    require_manifest,
    served_members,
)
from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import FileError, StageError

# Larger than any archive this product makes, and small enough to be read into memory.
_MAX_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive that was read and checked.

    Args:
        path: path of the file.
        serving: description of what it holds.
        digest: SHA-256 of its `serving.json`, which lists the digest of every other member. It is in every answer.
        sha256: SHA-256 of the whole file.
        members: content by member name.
        evidence: where it comes from and what was measured, as `evidence.json` says; None if nothing was packed.
    """

    path: Path
    serving: Serving
    digest: str
    sha256: str
    members: Mapping[str, bytes]
    evidence: Mapping[str, Any] | None

    def to_bytes(self) -> bytes:
        """Return the file's content, as it was checked."""
        return canonical_zip(self.members)

    def to_served_bytes(self) -> bytes:
        """Return an archive of its data and this installation's handler: none of its own code is in it."""
        return canonical_zip(served_members(self.members, self.serving))

    def unpack(self, folder: Path) -> None:
        """Write every member under a folder, as a server does."""
        for name, content in self.members.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def write_archive(
    path: Path,
    *,
    serving: Serving,
    model: bytes,
    golden: bytes,
    pictures: bytes,
    evidence: Mapping[str, Any] | None = None,
) -> Archive:
    """Build an archive.

    `evidence.json` lists the digests of all members but itself and `serving.json`. `serving.json` lists those of all
    members but itself, `evidence.json` included. So one digest, that of `serving.json`, covers everything.

    Args:
        path: `<name>.mar`; its folder exists.
        serving: description of what it holds; `files` is filled in here.
        model: content of `serving.runtime.file`.
        golden: content of `serving.golden.file`.
        pictures: content of `serving.pictures`, if it names a file.
        evidence: where the model comes from and what was measured, as JSON values; `members` is filled in here.

    Returns:
        The archive, read back and checked.

    Raises:
        StageError: torch-model-archiver failed or made something unexpected.
    """
    members = {
        **handler_sources(),
        serving.runtime.file: model,
        serving.golden.file: golden,
        MANIFEST: make_manifest(serving),
    }
    if serving.pictures is not None:
        members[serving.pictures] = pictures
    if evidence is not None:
        members[EVIDENCE_FILE] = _dump({**evidence, "members": _digests(members)})
    members[SERVING_FILE] = _dump(replace(serving, files=_digests(members)).to_json())
    with tempfile.TemporaryDirectory(prefix="mar-") as folder:
        packed = run_archiver(Path(folder), serving, members)
    if packed != members:
        differing = sorted(name for name in {*packed, *members} if packed.get(name) != members.get(name))
        raise StageError(f"{path.name}: torch-model-archiver changed {', '.join(differing)}, expected them as given")
    path.write_bytes(canonical_zip(members))
    return read_archive(path)


def read_archive(path: Path) -> Archive:
    """Read an archive and check all of it; nothing in it is run.

    Args:
        path: a `.mar` file made by `write_archive`.

    Returns:
        The checked archive.

    Raises:
        FileError: it is missing, not a zip, truncated, altered, or not made by this product; the member is named.
    """
    content = _read(path)
    members = read_members(path, content)
    serving = read_serving(path, members)
    for name, expected in serving.files.items():
        if name not in members:
            raise FileError(f"{path}: expected a member {name}, found none")
        if digest_bytes(members[name]) != expected:
            raise FileError(
                f"{path}: {name}: expected SHA-256 {expected}, found {digest_bytes(members[name])}; "
                "it was altered after packing"
            )
    for name in members:
        if name not in serving.files and name != SERVING_FILE:
            raise FileError(f"{path}: {name}: expected only members listed in {SERVING_FILE}, found one more")
    for name in (HANDLER_FILE, MANIFEST, *serving.needed):
        if name not in members:
            raise FileError(f"{path}: expected a member {name}, found none")
    require_known_members(path, members, serving)
    require_manifest(path, members[MANIFEST], serving)
    _require_arrays(path, members, serving)
    canonical = canonical_zip(members)
    if canonical != content:
        raise FileError(
            f"{path}: expected the canonical form of its members, found altered bytes "
            f"{first_difference(canonical, content)}"
        )
    return Archive(
        path=path,
        serving=serving,
        digest=digest_bytes(members[SERVING_FILE]),
        sha256=digest_bytes(content),
        members=members,
        evidence=_evidence(path, members, serving),
    )


def _require_arrays(path: Path, members: Mapping[str, bytes], serving: Serving) -> None:
    """Check that golden examples and pictures are arrays, and that golden examples fit the model as it is described."""
    try:
        for name in filter(None, (serving.golden.file, serving.pictures)):
            arrays = load_arrays(members[name], name)
            if name == serving.golden.file:
                require_golden(serving, arrays)
            else:
                require_pictures(name, arrays, serving.inputs)
    except ValueError as error:
        raise FileError(f"{path}: expected golden examples that belong to the model, found: {error}") from error


def _digests(members: Mapping[str, bytes]) -> dict[str, str]:
    return {name: digest_bytes(members[name]) for name in sorted(members)}


def _dump(document: object) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _evidence(path: Path, members: Mapping[str, bytes], serving: Serving) -> dict[str, Any] | None:
    """Return what `evidence.json` says, if it is there and speaks of these very members."""
    if EVIDENCE_FILE not in members:
        return None
    try:
        document = json.loads(members[EVIDENCE_FILE])
        listed = dict(document["members"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{path}: {EVIDENCE_FILE}: expected a JSON object with `members`, found: {error}") from error
    expected = {name: digest for name, digest in serving.files.items() if name != EVIDENCE_FILE}
    differing = sorted(name for name in {*listed, *expected} if listed.get(name) != expected.get(name))
    if differing:
        raise FileError(
            f"{path}: {EVIDENCE_FILE}: expected the digests of the members packed with it, found another one, or none, "
            f"of {', '.join(differing)}; it belongs to another archive"
        )
    return {**document}


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FileError(f"{path}: expected an archive of at most {_MAX_BYTES} bytes, found {path.stat().st_size}")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: expected a readable .mar archive, found: {error.strerror}") from error
