"""Opens a run directory: what a build recorded there, each file as it was then, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.candidates.report import CandidateReport
from pipeline.candidates.unproven import CandidateList, Unproven
from pipeline.commands.finished import recorded_recipe
from pipeline.engine.artifacts import Artifact, Kind, digest_file
from pipeline.engine.cache_key import input_parts, setting_parts, stale_parts
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import MANIFEST_NAME, Manifest, StageRecord, read_manifest
from pipeline.errors import FileError
from pipeline.recipe.recipe import Recipe
from pipeline.stages import candidates as stage

# Kinds from which it follows which candidates there are, and what they are held against. Each candidate has the last
# two.
_GROUND = (
    Kind.DATA_INFO,
    Kind.MODEL_INFO,
    Kind.WEIGHTS,
    Kind.TRAIN_DATA,
    Kind.VALIDATION_DATA,
    Kind.SAMPLES,
    Kind.CANDIDATE_ORDER,
    Kind.CANDIDATE_REPORT,
    Kind.TUNED_WEIGHTS,
)


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run directory whose candidates are done and up to date.

    Args:
        run_dir: path of the run directory.
        manifest: manifest of the build.
        recipe: recipe that was built.
        files: files that references are made of, by kind and candidate; their digests are right.
        reports: reports of every candidate that is proven, in the order of the table.
        compared: number of lossy candidates that could have been selected; their bounds account for it.
        unproven: rows of the candidates that were not proven.
        models: model files by candidate; they are not looked at yet.
        decided: number of validation examples by the class that float decides for, where the data have no labels.
        removed: candidates whose files `pipeline clean` removed; they are in none of the other fields.
    """

    run_dir: Path
    manifest: Manifest
    recipe: Recipe
    files: Mapping[tuple[Kind, str | None], Path]
    reports: tuple[CandidateReport, ...]
    compared: int
    unproven: tuple[Unproven, ...]
    models: Mapping[str, Artifact]
    decided: tuple[int, ...]
    removed: tuple[str, ...]

    def require(self, artifact: Artifact) -> Path:
        """Return an artifact's file, as the build recorded it.

        Raises:
            FileError: it is missing or altered.
        """
        path = self.run_dir / artifact.path
        if digest_file(path) != artifact.sha256:
            raise FileError(
                f"{path}: expected the file that the build recorded, found another; run pipeline build again"
            )
        return path


def open_run(run_dir: Path) -> OpenedRun:
    """Read a run directory; nothing of it is loaded or changed.

    Raises:
        FileError: there are no finished candidates, or what they are held against is missing, altered or out of date.
    """
    manifest, recipe, record = _read(run_dir)
    files = _files(run_dir, manifest)
    listed = read_document(files[Kind.CANDIDATE_ORDER, None], CandidateList)
    models = manifest.of_candidates(Kind.CANDIDATE_MODEL)
    removed = tuple(name for name in listed.order if _was_removed(run_dir, manifest, models[name]))
    opened = OpenedRun(
        run_dir=run_dir,
        manifest=manifest,
        recipe=recipe,
        files=files,
        reports=tuple(
            read_document(files[Kind.CANDIDATE_REPORT, name], CandidateReport)
            for name in listed.order
            if name not in removed
        ),
        compared=listed.compared,
        unproven=listed.unproven,
        models={name: artifact for name, artifact in models.items() if name not in removed},
        decided=listed.decided,
        removed=removed,
    )
    _check_factory(recipe, record)
    return opened


def _read(run_dir: Path) -> tuple[Manifest, Recipe, StageRecord]:
    manifest = read_manifest(run_dir)
    if manifest is None:
        raise FileError(f"{run_dir}: expected a run directory of pipeline build, found no {MANIFEST_NAME} in it")
    record = manifest.stages.get(stage.STAGE.name)
    if record is None:
        raise FileError(
            f"{run_dir}: expected finished candidates, found none; run pipeline build first: where a candidate fails "
            "there, it names the layer"
        )
    recipe = recorded_recipe(run_dir, manifest)
    current = setting_parts(stage.settings(recipe)) | input_parts(stage.STAGE, manifest)
    if stale := stale_parts(record, current, kinds=("setting", "input")):
        raise FileError(f"{run_dir}: candidates are those of an earlier build: {stale[0]} changed; run pipeline build")
    return manifest, recipe, record


def _files(run_dir: Path, manifest: Manifest) -> Mapping[tuple[Kind, str | None], Path]:
    """Return the files that references are made of, each as the build recorded it."""
    paths = {}
    for artifact in manifest.artifacts():
        if artifact.kind not in _GROUND or _was_removed(run_dir, manifest, artifact):
            continue
        path = run_dir / artifact.path
        if digest_file(path) != artifact.sha256:
            raise FileError(
                f"{path}: expected the file that the build recorded, found another; candidates cannot be held against "
                "it: run pipeline build again"
            )
        paths[artifact.kind, artifact.candidate] = path
    return paths


def _was_removed(run_dir: Path, manifest: Manifest, artifact: Artifact) -> bool:
    """Whether `pipeline clean` took a file away. A file that is there counts as there, whatever was planned."""
    return artifact.path in manifest.removed and not (run_dir / artifact.path).exists()


def _check_factory(recipe: Recipe, record: StageRecord) -> None:
    """Refuse a factory that changed: a reference made by other source would be another network."""
    for name, digest in stage.outside(stage.settings(recipe)).items():
        recorded = record.parts.get(f"outside {name}")
        if name.startswith("model.") and digest != recorded:
            raise FileError(f"{recipe.folder}: {name} changed since the build; run pipeline build")
