"""The file manifest.json: it lists what a run directory holds, and why each stage need not run again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.engine.artifacts import Artifact, Kind
from pipeline.errors import FileError

SCHEMA = 1
MANIFEST_NAME = "manifest.json"


class StageRecord(BaseModel):
    """One finished stage.

    Args:
        key: digest of `parts`.
        parts: digest or version of everything that the result depends on, by a name that a person understands.
        artifacts: files that the stage left behind.
        seconds: time that the stage took, in seconds.
        reads: digests of what the user's code read meanwhile, by name (see `pipeline.engine.reads`); None if
            it was not recorded.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    parts: dict[str, str]
    artifacts: tuple[Artifact, ...]
    seconds: float
    reads: dict[str, str] | None = None


class Manifest(BaseModel):
    """The state of a run directory.

    Args:
        recipe: name of the recipe.
        environment: versions of Python and the system.
        stages: records of the finished stages, by name.
        settings: what was given of the recipe, overrides included, so that the build can be checked again; defaults are
            left out, because some settings mean another thing, or are refused, where they are given.
        folder: folder of the recipe, in which the user's factories are looked up.
        removed: paths of artifacts that `pipeline clean` removed, or was about to remove when it was interrupted.
    """

    model_config = ConfigDict(frozen=True)

    schema_number: int = SCHEMA
    recipe: str
    environment: dict[str, str]
    stages: dict[str, StageRecord] = {}
    settings: dict[str, Any] = {}
    folder: str = ""
    removed: tuple[str, ...] = ()

    def artifacts(self) -> Iterator[Artifact]:
        """Every file that a stage left behind, in the order of the stages."""
        for record in self.stages.values():
            yield from record.artifacts

    def one(self, kind: Kind) -> Artifact:
        """The artifact of a kind that exists once per run.

        Raises:
            FileError: no stage has left an artifact of that kind.
        """
        for artifact in self.artifacts():
            if artifact.kind is kind:
                return artifact
        raise FileError(f"{MANIFEST_NAME}: expected an artifact {kind.value}, found none; run pipeline build")

    def of_candidates(self, kind: Kind) -> dict[str, Artifact]:
        """The artifacts of a kind that exists per candidate, by candidate name."""
        return {
            artifact.candidate: artifact
            for artifact in self.artifacts()
            if artifact.kind is kind and artifact.candidate is not None
        }

    def with_stage(self, name: str, record: StageRecord) -> Manifest:
        """A copy of the manifest in which the record of one stage is replaced."""
        removed = tuple(path for path in self.removed if not path.startswith(f"{name}/"))
        return self.model_copy(update={"stages": {**self.stages, name: record}, "removed": removed})


def is_current(path: Path, *sources: Path) -> bool:
    """Whether a file is there, and no older than those of its sources that are there."""
    made = [source.stat().st_mtime_ns for source in sources if source.exists()]
    return path.is_file() and path.stat().st_mtime_ns >= max(made, default=0)


def read_manifest(run_dir: Path) -> Manifest | None:
    """The manifest of a run directory, or None where there is none yet.

    Raises:
        FileError: the file is there, but this version cannot read it as a manifest.
    """
    path = run_dir / MANIFEST_NAME
    if not path.exists():
        return None
    try:
        document: Any = json.loads(path.read_bytes())
        number = document.get("schema_number") if isinstance(document, dict) else None
        if number != SCHEMA:
            raise FileError(
                f"{path}: expected manifest schema {SCHEMA}, found {number}; "
                "build with --force or into another --run-dir"
            )
        return TypeAdapter(Manifest).validate_python(document)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValidationError) as error:
        raise FileError(
            f"{path}: expected a build manifest, found: {_reason(error)}; build with --force or into another --run-dir"
        ) from error


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"


def write_manifest(run_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step."""
    content = manifest.model_dump_json(indent=1).encode() + b"\n"
    write_atomically(run_dir / MANIFEST_NAME, content)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either wholly there under its name or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # when a disk is full, the system names no file
            error.filename = str(path)
        raise
