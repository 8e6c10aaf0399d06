"""`pipeline verify RUN_DIR`: each candidate held against its reference again, and the layer named where it fails."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Kind, digest_file
from pipeline.candidates.again import check_again, is_quantized_onnx, quantize_again
from pipeline.candidates.ground import Ground
from pipeline.candidates.rank import Ranking, rank_layers
from pipeline.candidates.report import read_report
from pipeline.candidates.spec import CandidateSpec
from pipeline.data.dataset import read_info, read_split
from pipeline.errors import FileError, ProofError
from pipeline.manifest import Manifest
from pipeline.models.load import load_model_spec
from pipeline.proof.open import open_run
from pipeline.recipe import Recipe
from pipeline.stage import Reporter, Silent
from pipeline.training.augment import Augmentation
from pipeline.verify.layers import LayerFinding
from pipeline.verify.parity import ParityReport, failure

# Enough to tell layers apart, and a second or so per layer of a small network.
RANKING_EXAMPLES = 512


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
    opened = open_run(run_dir)
    manifest, recipe, paths = opened.manifest, opened.recipe, opened.ground
    model = load_model_spec(recipe.model, recipe.folder, read_info(paths[Kind.DATA_INFO, None]))
    over = _over_budget(run_dir, manifest, recipe) if ranking_examples else set()
    found = []
    with tempfile.TemporaryDirectory(prefix="pipeline-verify-") as scratch:
        ground = Ground(
            model=model,
            weights=paths[Kind.WEIGHTS, None],
            train=paths[Kind.TRAIN_DATA, None],
            validation=paths[Kind.VALIDATION_DATA, None],
            samples=paths[Kind.SAMPLES, None],
            opset=recipe.export.opset,
            batch_sizes=recipe.verify.batch_sizes,
            evaluator_macs=recipe.verify.reference_evaluator_macs,
            augmentation=Augmentation(horizontal_flip=recipe.train.horizontal_flip, shift=recipe.train.shift),
            device=recipe.train.device,
            scratch=Path(scratch),
            cache=Path(scratch),
            reporter=say,
        )
        specs = [one.spec for one in opened.reports]
        for done, spec in enumerate(specs):
            say.progress("verify", done, len(specs), spec.name)
            tuned = paths.get((Kind.TUNED_WEIGHTS, spec.name))
            one = _verify(spec, ground, run_dir, opened.models[spec.name], tuned)
            if spec.name in over and one.parity is not None and one.parity.passed:
                say.log(f"verify: {spec.name} is over its budget: ranking its layers on {ranking_examples} examples")
                validation = read_split(ground.validation).take(slice(ranking_examples))
                ranking = rank_layers(spec, ground, validation, tuned=tuned)
                one = CandidateVerification(**{**vars(one), "ranking": ranking})
            found.append(one)
        say.progress("verify", len(specs), len(specs))
    return RunVerification(run_dir=run_dir, recipe=manifest.recipe, candidates=tuple(found))


def _verify(
    spec: CandidateSpec, ground: Ground, run_dir: Path, artifact: Artifact, tuned: Path | None
) -> CandidateVerification:
    file = run_dir / artifact.path
    altered = digest_file(file) != artifact.sha256
    if altered and spec.format == "torchscript":
        # It is not data alone: only what the build made is loaded.
        return CandidateVerification(candidate=spec.name, file=file, altered=True, parity=None, finding=LayerFinding())
    original = None
    if altered and is_quantized_onnx(spec):
        made = quantize_again(spec, ground, tuned=tuned)
        # With other library versions it may be another file, and proves nothing.
        original = made if digest_file(made) == artifact.sha256 else None
    parity, finding = check_again(spec, ground, file, tuned=tuned, original=original)
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
