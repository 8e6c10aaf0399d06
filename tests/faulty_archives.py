"""Archives as a packager at fault would make them: canonical, every digest right, and not what was meant."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.archive.mar import Archive, read_archive
from pipeline.engine.artifacts import digest_bytes

Change = Callable[[dict[str, Any]], None]


def zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The canonical form, written independently of the product."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, content in members:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, content)
    return buffer.getvalue()


def made_again(
    archive: Archive,
    path: Path,
    *,
    members: Mapping[str, bytes] | None = None,
    serving: Change | None = None,
    evidence: Change | None = None,
) -> Archive:
    """An archive with other members or documents, consistent in itself.

    Args:
        archive: to start from.
        path: of the new one.
        members: other content by name.
        serving: changes the document of `serving.json`.
        evidence: changes that of `evidence.json`.
    """
    made = {**archive.members, **(members or {})}
    described = json.loads(made["serving.json"])
    if serving is not None:
        serving(described)
    others = {name: digest_bytes(made[name]) for name in described["files"] if name != "evidence.json"}
    if "evidence.json" in made:
        known = json.loads(made["evidence.json"])
        known["members"] = others
        if evidence is not None:
            evidence(known)
        made["evidence.json"] = json.dumps(known).encode()
        others["evidence.json"] = digest_bytes(made["evidence.json"])
    described["files"] = others
    made["serving.json"] = json.dumps(described).encode()
    path.write_bytes(zipped(sorted(made.items())))
    return read_archive(path)


def judged_anew(archive: Archive, model: bytes) -> Change:
    """A change of the evidence: the packed candidate's file is another one."""

    def change(document: dict[str, Any]) -> None:
        [row] = [one for one in document["candidates"] if one["name"] == archive.serving.candidate]
        row["sha256"] = digest_bytes(model)

    return change
