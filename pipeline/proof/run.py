"""`pipeline verify RUN_DIR`: each candidate held against its reference again, and the layer named where it fails."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.artifacts import Artifact, Kind, digest_file
from pipeline.candidates.again import Source, check_again, is_quantized_onnx, quantize_again
from pipeline.candidates.rank import Ranking, rank_layers
from pipeline.candidates.report import read_report
from pipeline.candidates.spec import CandidateSpec, candidate_specs
from pipeline.data.dataset import read_info, read_split
from pipeline.errors import FileError, ProofError
from pipeline.manifest import MANIFEST_NAME, Manifest, StageRecord, read_manifest
from pipeline.models.load import load_model_spec
from pipeline.recipe import Recipe
from pipeline.runner import setting_parts
from pipeline.stage import Reporter, Silent
from pipeline.stages import candidates as stage
from pipeline.verify.layers import LayerFinding
from pipeline.verify.parity import ParityReport, failure

# Enough to tell layers apart, and a second or so per layer of a small network.
RANKING_EXAMPLES = 512
# What a candidate is held against follows from these.
_GROUND = (Kind.DATA_INFO, Kind.WEIGHTS, Kind.VALIDATION_DATA, Kind.SAMPLES, Kind.CANDIDATE_REPORT)


@dataclass(frozen=True, kw_only=True)
class CandidateVerification:
    """What was found of one candidate.

    Args:
        candidate: its name.
        file: its model file.
        altered: whether the file is another than the build recorded.
        parity: with its reference; None for an altered TorchScript file, which is not loaded.
        finding: the layer at fault, where parity failed.
        ranking: which layers would win back accuracy, where the candidate is over its budget.
    """

    candidate: str
    file: Path
    altered: bool
    parity: ParityReport | None
    finding: LayerFinding
    ranking: Ranking | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "candidate": self.candidate,
            "file": str(self.file),
            "altered": self.altered,
            "parity": self.parity and self.parity.to_json(),
            "layer": self.finding.to_json(),
            "ranking": self.ranking and self.ranking.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class RunVerification:
    """What was found in a run directory.

    Args:
        run_dir: where.
        recipe: its name.
        candidates: in the order of the recipe.
    """

    run_dir: Path
    recipe: str
    candidates: tuple[CandidateVerification, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "run_dir": str(self.run_dir),
            "recipe": self.recipe,
            "candidates": [one.to_json() for one in self.candidates],
        }

    def require(self) -> None:
        """Stop where something is wrong.

        Raises:
            ProofError: a candidate does not reproduce its reference; the first one, with its layer.
            FileError: a file was altered.
        """
        for one in self.candidates:
            if one.parity is not None and not one.parity.passed:
                altered = f"; {one.file} was altered since the build" if one.altered else ""
                raise ProofError(f"{failure(one.parity, where=one.finding.text)}{altered}")
        for one in self.candidates:
            if one.altered:
                raise FileError(
                    f"{one.file}: expected the file that the build recorded, found another; run pipeline build again"
                )


def verify_run(
    run_dir: Path, *, reporter: Reporter | None = None, ranking_examples: int = RANKING_EXAMPLES
) -> RunVerification:
    """Hold every candidate of a run directory against its reference, rebuilt from weights and recipe.

    Nothing in the run directory is changed. The user's factories are imported from the recipe's folder.

    Args:
        run_dir: of a build whose candidates are done.
        reporter: told what happens.
        ranking_examples: validation examples on which the layers of a candidate over its budget are ranked; 0 for none.

    Returns:
        What was found; a failure is raised by its `require`.

    Raises:
        FileError: no finished candidates, or what they are held against is missing, altered or out of date.
    """
    say = reporter or Silent()
    manifest, recipe, record = _read(run_dir)
    ground = _ground(run_dir, manifest)
    _check_factory(recipe, record)
    model = load_model_spec(recipe.model, recipe.folder, read_info(ground[Kind.DATA_INFO]))
    files = {one.candidate: one for one in record.artifacts if one.kind is Kind.CANDIDATE_MODEL}
    over = _over_budget(run_dir, manifest, recipe) if ranking_examples else set()
    found = []
    with tempfile.TemporaryDirectory(prefix="pipeline-verify-") as scratch:
        source = Source(
            model=model,
            weights=ground[Kind.WEIGHTS],
            samples=ground[Kind.SAMPLES],
            batch_sizes=recipe.verify.batch_sizes,
            evaluator_macs=recipe.verify.reference_evaluator_macs,
            scratch=Path(scratch),
        )
        specs = candidate_specs(recipe.candidates)
        for done, spec in enumerate(specs):
            say.progress("verify", done, len(specs), spec.name)
            one = _verify(spec, source, run_dir, files[spec.name], opset=recipe.export.opset)
            if spec.name in over and one.parity is not None and one.parity.passed:
                say.log(f"verify: {spec.name} is over its budget: ranking its layers on {ranking_examples} examples")
                validation = read_split(ground[Kind.VALIDATION_DATA]).take(slice(ranking_examples))
                ranking = rank_layers(spec, source, validation, opset=recipe.export.opset)
                one = CandidateVerification(**{**vars(one), "ranking": ranking})
            found.append(one)
        say.progress("verify", len(specs), len(specs))
    return RunVerification(run_dir=run_dir, recipe=manifest.recipe, candidates=tuple(found))


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
    try:
        recipe = Recipe.model_validate({**manifest.settings, "folder": Path(manifest.folder)})
    except ValidationError as error:
        raise FileError(
            f"{run_dir / MANIFEST_NAME}: expected the recipe of this build, found none that this version can read; "
            "run pipeline build again"
        ) from error
    current = setting_parts(stage.settings(recipe))
    current |= {
        f"input {one.path}": one.sha256
        for other in manifest.stages.values()
        for one in other.artifacts
        if one.kind in stage.STAGE.reads
    }
    stale = sorted(name for name, value in current.items() if record.parts.get(name) != value)
    if stale:
        raise FileError(f"{run_dir}: candidates are those of an earlier build: {stale[0]} changed; run pipeline build")
    return manifest, recipe, record


def _ground(run_dir: Path, manifest: Manifest) -> Mapping[Kind, Path]:
    """The files that references are made of, each as the build recorded it."""
    paths = {}
    for record in manifest.stages.values():
        for one in record.artifacts:
            if one.kind in _GROUND:
                if digest_file(run_dir / one.path) != one.sha256:
                    raise FileError(
                        f"{run_dir / one.path}: expected the file that the build recorded, found another; candidates "
                        "cannot be held against it: run pipeline build again"
                    )
                paths[one.kind] = run_dir / one.path
    return paths


def _check_factory(recipe: Recipe, record: StageRecord) -> None:
    """A reference made by other source would be another network."""
    for name, digest in stage.outside(stage.settings(recipe)).items():
        known = record.parts.get(f"outside {name}")
        if name.startswith("model.") and digest != known:
            raise FileError(f"{recipe.folder}: {name} changed since the build; run pipeline build")


def _verify(
    spec: CandidateSpec, source: Source, run_dir: Path, artifact: Artifact, *, opset: int
) -> CandidateVerification:
    file = run_dir / artifact.path
    altered = digest_file(file) != artifact.sha256
    if altered and spec.format == "torchscript":
        # It is not data alone: only what the build made is loaded.
        return CandidateVerification(candidate=spec.name, file=file, altered=True, parity=None, finding=LayerFinding())
    original = None
    if altered and is_quantized_onnx(spec):
        made = quantize_again(spec, source, opset=opset)
        # With other library versions it may be another file, and proves nothing.
        original = made if digest_file(made) == artifact.sha256 else None
    parity, finding = check_again(spec, source, file, original=original)
    return CandidateVerification(candidate=spec.name, file=file, altered=altered, parity=parity, finding=finding)


def _over_budget(run_dir: Path, manifest: Manifest, recipe: Recipe) -> set[str]:
    """Candidates that may not be selected: as the build decided, or by the budget where it did not come to that."""
    paths = {
        (one.kind, one.candidate): run_dir / one.path for record in manifest.stages.values() for one in record.artifacts
    }
    selection = paths.get((Kind.SELECTION, None))
    if selection is not None and selection.is_file():
        verdicts = json.loads(selection.read_bytes())["verdicts"]
        return {name for name, verdict in verdicts.items() if not verdict["allowed"]}
    reports = [read_report(path) for (kind, _), path in paths.items() if kind is Kind.CANDIDATE_REPORT]
    limit = recipe.budget.max_accuracy_drop
    return {one.name for one in reports if one.lossy and one.quality.drop_upper > limit}
