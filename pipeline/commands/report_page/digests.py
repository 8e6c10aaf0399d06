"""Digests of all that was measured, and versions of what measured it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.archive.evidence.document import Evidence
from pipeline.archive.mar import Archive
from pipeline.pages.report.document import Digest

# What evidence says of a file that code looked for and did not find.
_NONE = "none"


def digests_of(archive: Archive, evidence: Evidence) -> tuple[Digest, ...]:
    """List what an archive consists of and was made from."""
    return tuple(_digests(archive, evidence))


def _digests(archive: Archive, evidence: Evidence) -> Iterator[Digest]:
    serving = archive.serving
    yield Digest(name=f"file {archive.path.name} (sha256sum gives it)", value=archive.sha256)
    yield Digest(
        name=f"contents of {archive.path.name} (every answer names it, and pipeline verify --digest takes it)",
        value=archive.digest,
    )
    yield Digest(name=f"model file {serving.runtime.file} in it (sha256sum gives it)", value=evidence.packed.sha256)
    yield Digest(name="weights of the float network", value=evidence.weights_sha256)
    for name, digest in evidence.files.items():
        if digest != _NONE:
            yield Digest(name=name, value=digest)
    for split, digest in evidence.data.digests.items():
        size = evidence.data.sizes.get(split)
        yield Digest(name=f"{evidence.data.name}, {split}" + ("" if size is None else f" ({size:,})"), value=digest)
    for name, digest in evidence.data.sources.items():
        yield Digest(name=name, value=digest)
    code = evidence.code
    yield Digest(name=f"{code.name} {code.version}, its source", value=code.source_sha256)
    for name, digest in code.user_sources.items():
        yield Digest(name=name, value=digest)
    seeds = ", ".join(f"{name} {seed}" for name, seed in evidence.seeds.items())
    yield Digest(name="seeds", value=seeds or "none")
    yield Digest(name="Python", value=code.python)
    yield Digest(name="libraries", value=", ".join(f"{name} {version}" for name, version in code.libraries.items()))
