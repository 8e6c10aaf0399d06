"""`pipeline.clean`: it takes out of a run directory what a finished build has no more use for."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.candidates.selection import Selection
from pipeline.candidates.spec import baseline_of
from pipeline.engine.artifacts import Artifact, Kind
from pipeline.engine.cache_key import outdated
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import MANIFEST_NAME, Manifest, read_manifest, write_manifest
from pipeline.engine.places import folder_bytes, os_error_text
from pipeline.engine.runner import CACHE, SCRATCH, hold
from pipeline.errors import FileError
from pipeline.serving.state import forgotten_folders
from pipeline.stages import BUILD

_LOSER_KINDS = (Kind.CANDIDATE_MODEL, Kind.TUNED_WEIGHTS)
_STAGES = "|".join(stage.name for stage in BUILD)
# Names of what a killed build leaves: a stage's unfinished or former folder, and a file that was being written.
_REMAINS = re.compile(
    rf"\.(?:(?:{_STAGES})\.\d+\.(?:tmp|old)|(?:manifest\.json|bench\.json|pareto\.\w+|report\.html)\.\w{{8}})"
)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A file or folder that goes.

    Args:
        path: relative to the run directory; absolute for a folder outside it, of a server that was killed.
        size: size in bytes.
    """

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class CleanResult:
    """What was taken out of a run directory.

    Args:
        run_dir: path of the run directory.
        finished: whether its build is finished; else only the remains of killed builds go, and the build can go on.
        planned: whether this is a plan, and nothing was changed.
        kept: candidates whose model files stay: the winner and the float baseline; empty for an unfinished build.
        removed: what went, or would go.
        links: links that lead elsewhere; nothing behind them is touched.
        before: size of the run directory before, in bytes.
        after: size that it has now, or would have, in bytes.
    """

    run_dir: Path
    finished: bool
    planned: bool
    kept: tuple[str, ...]
    removed: tuple[Removal, ...]
    links: tuple[str, ...]
    before: int
    after: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "run_dir": str(self.run_dir)}


def clean(run_dir: Path | str, *, plan: bool = False) -> CleanResult:
    """Remove what a finished build has no more use for; from an unfinished one, only the remains of killed builds go.

    What stays: the winner and the float baseline, the weights and the data that they are proven with, every
    candidate's report, the selection, the pictures and the archive with its evidence. What goes: the other candidates'
    model files and fine-tuned weights, caches, scratch folders, remains of killed builds and their servers. The next
    build makes again what it needs.

    Args:
        run_dir: run directory of a build. Nothing is removed behind a link in it.
        plan: whether to say what would go, and change nothing.

    Returns:
        What went, and the sizes before and after.

    Raises:
        FileError: it is no run directory, or something in it cannot be removed.
        StageError: a build is running there.
    """
    folder = Path(run_dir)
    _require_run(folder)
    with hold(folder):
        manifest = _require_run(folder)
        finished = not outdated(BUILD, manifest)
        kept = (_winner(folder, manifest), _baseline(manifest)) if finished else ()
        losers = _losers(manifest, kept) if finished else []
        targets = [folder / artifact.path for artifact in losers]
        targets += [folder / name for name in (CACHE, SCRATCH) if finished]
        targets += [path for path in sorted(folder.iterdir()) if _REMAINS.fullmatch(path.name)]
        there = [path for path in targets if path.is_symlink() or path.exists()]
        links = tuple(sorted({link for path in there if (link := _link(folder, path)) is not None}))
        inside = [path for path in there if _link(folder, path) is None]
        outside = forgotten_folders()
        removed = (
            *(Removal(path=path.relative_to(folder).as_posix(), size=folder_bytes(path)) for path in inside),
            *(Removal(path=str(path), size=folder_bytes(path)) for path in outside),
        )
        before = folder_bytes(folder)
        if not plan:
            # This is recorded first: interrupted anywhere, the next build knows why a file is missing, and the next
            # call of this function removes the rest.
            gone = {artifact.path for artifact in losers}
            write_manifest(folder, manifest.model_copy(update={"removed": tuple(sorted(gone))}))
            for path in (*inside, *outside):
                _remove(path)
        after = before - sum(removal.size for removal in removed[: len(inside)]) if plan else folder_bytes(folder)
    return CleanResult(
        run_dir=folder,
        finished=finished,
        planned=plan,
        kept=tuple(dict.fromkeys(kept)),
        removed=removed,
        links=links,
        before=before,
        after=after,
    )


def _require_run(folder: Path) -> Manifest:
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        raise FileError(f"{folder}: expected a run directory of pipeline build, found no {MANIFEST_NAME} in it")
    return manifest


def _winner(folder: Path, manifest: Manifest) -> str:
    return read_document(folder / manifest.one(Kind.SELECTION).path, Selection).selected


def _baseline(manifest: Manifest) -> str:
    """Return the name of the float candidate that every ratio is over."""
    return baseline_of(manifest.of_candidates(Kind.CANDIDATE_MODEL))


def _losers(manifest: Manifest, kept: tuple[str, ...]) -> list[Artifact]:
    """Return the files of candidates that were not chosen."""
    return [
        artifact
        for artifact in manifest.artifacts()
        if artifact.kind in _LOSER_KINDS and artifact.candidate not in kept
    ]


def _link(folder: Path, path: Path) -> str | None:
    """Return the first link on the way from a run directory to a path in it, relative to the directory."""
    way = [path, *path.parents]
    inside = way[: way.index(folder)]
    return next((str(place.relative_to(folder)) for place in reversed(inside) if place.is_symlink()), None)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # somebody else removed it meanwhile
    except OSError as error:
        raise FileError(f"{error.filename or path}: expected to remove it, found: {os_error_text(error)}") from error
