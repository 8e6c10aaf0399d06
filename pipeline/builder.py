"""`pipeline.build`: a recipe in, a proven archive out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Artifact, Kind, digest_file
from pipeline.candidates.choose import Limits, Verdict, explain
from pipeline.candidates.report import CandidateReport, read_report
from pipeline.candidates.spec import candidate_specs
from pipeline.errors import FileError, ProofError, RecipeError
from pipeline.manifest import Manifest, read_manifest
from pipeline.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from pipeline.runner import Outcome, plan_stages, run_stages
from pipeline.stage import Reporter, Silent
from pipeline.stages import BUILD, TRAINING
from pipeline.user_code import user_modules
from pipeline.verify.quality import QualityReport

DEFAULT_RUNS = Path("runs")
DEFAULT_MODEL_STORE = Path("model_store")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate and what was decided about it.

    Args:
        report: everything measured.
        verdict: `lossless`, `within budget`, `over budget`, `too many confident flips`, or `not provable with n
            examples`.
        drop_upper: the one-sided bound of the drop that was held against the budget, as a fraction: adjusted for the
            number of lossy candidates compared, so larger than that of the report, which looks at this one alone.
        confidence: of that bound; that of all bounds together is 95 %.
        smallest_provable_drop: no smaller budget could have been proven with so many examples.
        selected: whether it is the one in the archive.
    """

    report: CandidateReport
    verdict: str
    drop_upper: float
    confidence: float
    smallest_provable_drop: float
    selected: bool


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build ended with.

    Args:
        recipe: its name.
        run_dir: where everything lies.
        candidates: the table, in the order of the recipe.
        selected: name of the winner.
        why: why it won.
        limits: what a lossy candidate may lose.
        test: the winner against float on the test set, opened for this report alone.
        test_verdict: whether it is inside its limits there too.
        archive: the `.mar` in the model store.
        archive_sha256: its digest.
        stages: what each stage did.
    """

    recipe: str
    run_dir: Path
    candidates: tuple[Row, ...]
    selected: str
    why: str
    limits: Limits
    test: QualityReport
    test_verdict: Verdict
    archive: Path
    archive_sha256: str
    stages: tuple[Outcome, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data, the same that the table shows."""
        return {
            "recipe": self.recipe,
            "run_dir": str(self.run_dir),
            "selected": self.selected,
            "why": self.why,
            "candidates": [
                {
                    **row.report.model_dump(mode="json"),
                    "verdict": row.verdict,
                    "drop_upper": row.drop_upper,
                    "confidence": row.confidence,
                    "smallest_provable_drop": row.smallest_provable_drop,
                    "selected": row.selected,
                }
                for row in self.candidates
            ],
            "limits": asdict(self.limits),
            "test": self.test.to_json(),
            "test_verdict": asdict(self.test_verdict),
            "archive": str(self.archive),
            "archive_sha256": self.archive_sha256,
            "stages": [asdict(outcome) for outcome in self.stages],
        }


def build(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    model_store: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> BuildResult:
    """Train or load, compress, export, verify, measure, select, package and try out.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        run_dir: where to work; `runs/<recipe>` by default.
        model_store: where the archive is put at the end; `model_store` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        force: run every stage, whatever is up to date.
        strict: fail where the test set does not confirm that the winner is inside its limits, instead of saying so in
            the result.
        reporter: told what happens; silent by default.

    Returns:
        The table, the winner and the archive.

    Raises:
        PipelineError: see `pipeline.errors` for the tree; the archive is not put into the model store then.
    """
    loaded = resolve(recipe, overrides)
    folder = _run_dir(loaded, run_dir)
    with user_modules(loaded.folder):
        manifest, outcomes = run_stages(BUILD, loaded, folder, reporter or Silent(), force=force)
    if strict:
        _require_test(folder, manifest)
    store = Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE
    archive = _publish(folder / _one(manifest, Kind.ARCHIVE).path, store / f"{loaded.model_name}.mar")
    return _result(folder, manifest, archive, outcomes)


def train(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    """The data and training stages alone; arguments as for `build`.

    Returns:
        The file of weights.
    """
    loaded = resolve(recipe, overrides)
    folder = _run_dir(loaded, run_dir)
    with user_modules(loaded.folder):
        manifest, _ = run_stages(TRAINING, loaded, folder, reporter or Silent(), force=force)
    return folder / _one(manifest, Kind.WEIGHTS).path


def plan(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Outcome, ...]:
    """What a build would run, and why; changes nothing. Arguments as for `build`."""
    loaded = resolve(recipe, overrides)
    return plan_stages(BUILD, loaded, _run_dir(loaded, run_dir))


def report(run_dir: Path | str, *, model_store: Path | str | None = None) -> BuildResult:
    """The result of a finished build, read from its run directory.

    Raises:
        FileError: there is no finished build.
    """
    folder = Path(run_dir)
    manifest = read_manifest(folder)
    unfinished = [stage.name for stage in BUILD if manifest is None or stage.name not in manifest.stages]
    if manifest is None or unfinished:
        missing = ", ".join(unfinished)
        raise FileError(f"{folder}: expected a finished build, found no {missing}; run pipeline build first")
    packed = folder / _one(manifest, Kind.ARCHIVE).path
    stored = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / packed.name
    return _result(folder, manifest, stored if stored.is_file() else packed, ())


def resolve(recipe: str | Path | Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe and check what can be checked before any work.

    Raises:
        RecipeError: it has problems.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    names = [spec.name for spec in candidate_specs(loaded.candidates)]
    if loaded.select.candidate is not None and loaded.select.candidate not in names:
        raise RecipeError(f"select.candidate: expected one of {', '.join(names)}, found {loaded.select.candidate}")
    return loaded


def _run_dir(recipe: Recipe, run_dir: Path | str | None) -> Path:
    return Path(run_dir) if run_dir is not None else DEFAULT_RUNS / recipe.name


def _one(manifest: Manifest, kind: Kind) -> Artifact:
    return next(one for record in manifest.stages.values() for one in record.artifacts if one.kind is kind)


def _require_test(run_dir: Path, manifest: Manifest) -> None:
    selection = _selection(run_dir, manifest)
    verdict, limits = Verdict(**selection["test_verdict"]), Limits(**selection["limits"])
    if not verdict.allowed:
        why = explain(selection["selected"], QualityReport(**selection["test"]), verdict, limits)
        raise ProofError(f"test set: {why}; --strict: the archive was not put into the model store")


def _selection(run_dir: Path, manifest: Manifest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run_dir / _one(manifest, Kind.SELECTION).path).read_bytes())
    return document


def _publish(packed: Path, stored: Path) -> Path:
    """Copy the archive into the model store in one step, unless it is there already."""
    if stored.is_file() and digest_file(stored) == digest_file(packed):
        return stored
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=stored.parent, prefix=f".{stored.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            try:
                stream.write(packed.read_bytes())
                stream.close()
                shutil.copymode(packed, temporary)
                temporary.replace(stored)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FileError(f"{stored}: expected to write the archive there, found: {error.strerror}") from error
    return stored


def _result(run_dir: Path, manifest: Manifest, archive: Path, outcomes: tuple[Outcome, ...]) -> BuildResult:
    selection = _selection(run_dir, manifest)
    reports = {
        one.candidate: read_report(run_dir / one.path)
        for record in manifest.stages.values()
        for one in record.artifacts
        if one.kind is Kind.CANDIDATE_REPORT
    }
    rows = tuple(
        Row(
            report=reports[name],
            verdict=verdict["text"],
            drop_upper=verdict["drop_upper"],
            confidence=verdict["confidence"],
            smallest_provable_drop=verdict["smallest_provable_drop"],
            selected=name == selection["selected"],
        )
        for name, verdict in selection["verdicts"].items()
    )
    return BuildResult(
        recipe=manifest.recipe,
        run_dir=run_dir,
        candidates=rows,
        selected=selection["selected"],
        why=selection["why"],
        limits=Limits(**selection["limits"]),
        test=QualityReport(**selection["test"]),
        test_verdict=Verdict(**selection["test_verdict"]),
        archive=archive,
        archive_sha256=_one(manifest, Kind.ARCHIVE).sha256,
        stages=outcomes,
    )
