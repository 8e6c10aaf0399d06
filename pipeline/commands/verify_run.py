"""`pipeline verify RUN_DIR`: it holds each candidate against its reference again, and names the layer that fails."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.candidates.choose import OVER, Verdict, judge
from pipeline.candidates.context import Context
from pipeline.candidates.outcome import miss
from pipeline.candidates.rank import Ranking, rank_layers
from pipeline.candidates.recheck import recheck, requantize
from pipeline.candidates.spec import CandidateSpec
from pipeline.candidates.unproven import Unproven
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.parity_report import ParityReport, failure
from pipeline.commands.opened import open_run
from pipeline.data.dataset import read_info, read_split
from pipeline.engine.artifacts import Artifact, Kind, digest_file
from pipeline.engine.documents import read_document
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import FileError, ProofError
from pipeline.formats import FORMATS
from pipeline.models.info import ModelInfo
from pipeline.models.load import load_model_spec
from pipeline.stages import candidates as stage
from pipeline.tasks.table import task_of

# Number of examples, enough to tell layers apart. They take a second or so per layer of a small network.
RANKING_EXAMPLES = 512


@dataclass(frozen=True, kw_only=True)
class CandidateVerification:
    """The findings on one candidate.

    Args:
        candidate: name of the candidate.
        file: path of its model file.
        altered: whether the file is another than the build recorded.
        parity: parity with its reference; None for an altered TorchScript file, which is not loaded.
        finding: the layer at fault, where parity failed.
        verdict: verdict of the budget, as in the build's table.
        miss: the verdict with what was found and what is allowed; empty for a candidate that may be selected.
        ranking: ranking of the layers that would win back accuracy, where that was asked for and the candidate is over
            its budget.
    """

    candidate: str
    file: Path
    altered: bool
    parity: ParityReport | None
    finding: LayerFinding
    verdict: Verdict | None = None
    miss: str = ""
    ranking: Ranking | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "candidate": self.candidate,
            "file": str(self.file),
            "altered": self.altered,
            "parity": self.parity and self.parity.to_json(),
            "layer": self.finding.to_json(),
            "verdict": "" if self.verdict is None else self.verdict.text,
            "ranking": self.ranking and self.ranking.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class RunVerification:
    """The findings in a run directory.

    Args:
        run_dir: path of the run directory.
        recipe: name of the recipe.
        candidates: findings on the candidates, in the order of the recipe.
        unproven: rows of what the build could not make or prove. It left no file, and can never have been selected.
        gaps: classes of which validation holds nothing or too little; no verdict speaks of them.
    """

    run_dir: Path
    recipe: str
    candidates: tuple[CandidateVerification, ...]
    unproven: tuple[Unproven, ...]
    gaps: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "run_dir": str(self.run_dir),
            "recipe": self.recipe,
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "unproven": [row.model_dump(mode="json") for row in self.unproven],
            "gaps": list(self.gaps),
        }

    def require(self) -> None:
        """Stop where something is wrong.

        Raises:
            ProofError: a candidate does not reproduce its reference; the first such candidate is named, with its layer.
            FileError: a file was altered.
        """
        for candidate in self.candidates:
            if candidate.parity is not None and not candidate.parity.passed:
                altered = f"; {candidate.file} was altered since the build" if candidate.altered else ""
                raise ProofError(f"{failure(candidate.parity, where=candidate.finding.text)}{altered}")
        for candidate in self.candidates:
            if candidate.altered:
                raise FileError(
                    f"{candidate.file}: expected the file that the build recorded, found another; "
                    "run pipeline build again"
                )


def verify_run(
    run_dir: Path, *, reporter: Reporter | None = None, rank: bool = False, ranking_examples: int = RANKING_EXAMPLES
) -> RunVerification:
    """Hold every candidate of a run directory against its reference, rebuilt from weights and recipe.

    Nothing in the run directory is changed. The user's factories are imported from the recipe's folder.

    Args:
        run_dir: run directory of a build whose candidates are done.
        reporter: reporter that is told what happens.
        rank: whether to rank the layers of each candidate that is over its budget too: up to two minutes for each.
        ranking_examples: number of validation examples on which they are ranked.

    Returns:
        The findings; a failure is raised by their `require`.

    Raises:
        FileError: there are no finished candidates, or what they are held against is missing, altered or out of date.
    """
    say = reporter or Silent()
    opened = open_run(run_dir)
    recipe, paths = opened.recipe, opened.files
    if opened.removed:
        names = ", ".join(opened.removed)
        say.log(f"verify: pipeline clean removed the files of {names}; pipeline build makes them again")
    info = read_info(paths[Kind.DATA_INFO, None])
    described = read_document(paths[Kind.MODEL_INFO, None], ModelInfo)
    model = load_model_spec(recipe.model, recipe.folder, info).as_called(described)
    verifications = []
    with tempfile.TemporaryDirectory(prefix="pipeline-verify-") as scratch:
        files = {kind: path for (kind, candidate), path in paths.items() if candidate is None}
        task = task_of(info.task, outputs=model.outputs, folder=recipe.folder)
        context = stage.make_context(
            stage.settings(recipe), files, model=model, task=task, scratch=Path(scratch), reporter=say
        )
        for position, report in enumerate(opened.reports):
            spec = report.spec
            say.progress("verify", position, len(opened.reports), spec.name)
            tuned = paths.get((Kind.TUNED_WEIGHTS, spec.name))
            verification = _verify(spec, context, run_dir, opened.models[spec.name], tuned)
            verdict = judge(report.quality, recipe.budget, lossy=report.lossy, compared=opened.compared)
            verification = replace(verification, verdict=verdict)
            if not verdict.allowed:
                verification = replace(verification, miss=miss(report.quality, verdict=verdict, limits=recipe.budget))
            if rank and verdict.text == OVER and verification.parity is not None and verification.parity.passed:
                validation = read_split(context.validation).take(slice(ranking_examples))
                say.log(f"verify: {spec.name} is over its budget: ranking its layers on {len(validation)} examples")
                ranking = rank_layers(spec, context, validation, tuned=tuned)
                verification = replace(verification, ranking=ranking)
            verifications.append(verification)
        say.progress("verify", len(opened.reports), len(opened.reports))
    return RunVerification(
        run_dir=run_dir,
        recipe=opened.manifest.recipe,
        candidates=tuple(verifications),
        unproven=opened.unproven,
        gaps=info.decided({"validation": opened.decided}).gaps_of("validation"),
    )


def _verify(
    spec: CandidateSpec, context: Context, run_dir: Path, artifact: Artifact, tuned: Path | None
) -> CandidateVerification:
    file = run_dir / artifact.path
    altered = digest_file(file) != artifact.sha256
    if altered and FORMATS[spec.format].is_code:
        # No file is loaded but what the build made.
        return CandidateVerification(candidate=spec.name, file=file, altered=True, parity=None, finding=LayerFinding())
    original = None
    if altered and spec.file_pass is not None:
        repeated = requantize(spec, context, tuned=tuned)
        # With other library versions it may be another file, and proves nothing.
        original = repeated if digest_file(repeated) == artifact.sha256 else None
    parity, finding = recheck(spec, context, file, tuned=tuned, original=original)
    return CandidateVerification(candidate=spec.name, file=file, altered=altered, parity=parity, finding=finding)
