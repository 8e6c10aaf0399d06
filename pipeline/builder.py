"""`pipeline.build`: a recipe in, a proven archive out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts import Artifact, Kind, digest_bytes, digest_file
from pipeline.candidates.choose import LOSSLESS, OVERTURNS, WITHIN, Limits, Verdict, explain
from pipeline.candidates.outcome import outcome
from pipeline.candidates.report import CandidateReport, EagerReport, read_report
from pipeline.candidates.spec import SLIM, baseline_of, candidate_specs
from pipeline.candidates.speed import SpeedUp, speed_ups
from pipeline.candidates.unproven import Unproven, read_list
from pipeline.data.coverage import Coverage
from pipeline.data.dataset import SplitName, read_info
from pipeline.errors import FileError, ProofError, RecipeError
from pipeline.manifest import MANIFEST_NAME, Manifest, read_manifest, write_atomically
from pipeline.measure.host import computes_bfloat16
from pipeline.places import folder_bytes, no_room, os_error_text, require_temp
from pipeline.plots.front import Cost, Point, pareto_front
from pipeline.preflight import check_recipe, check_store
from pipeline.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from pipeline.runner import Outcome, outdated, plan_stages, run_stages
from pipeline.serving.state import require_state_folder
from pipeline.stage import Reporter, Silent
from pipeline.stages import BUILD, TRAINING
from pipeline.user_code import user_modules
from pipeline.verify.quality import QualityReport

DEFAULT_RUNS = Path("runs")
DEFAULT_MODEL_STORE = Path("model_store")
# Of the picture of the trade-off.
_FORMS: tuple[Literal["png", "svg"], ...] = ("png", "svg")


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
        speed: how many times faster than eager and than the float network's file, per batch size.
        outcome: what it gains over float in what is searched for, and what kept it from winning, in one clause.
        selected: whether it is the one in the archive.
    """

    report: CandidateReport
    verdict: str
    drop_upper: float
    confidence: float
    smallest_provable_drop: float
    speed: tuple[SpeedUp, ...]
    outcome: str
    selected: bool


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build ended with.

    Args:
        recipe: its name.
        run_dir: where everything lies.
        candidates: the table, in the order of the recipe.
        unproven: rows of what was tried and can never be selected, because it cannot be made or is not proven.
        eager: the float network run by torch itself, timed in the same rounds: a reference.
        selected: name of the winner.
        why: why it won.
        limits: what a lossy candidate may lose.
        searched: whether a search made some of the candidates.
        test: the winner against float on the test set, opened for this report alone.
        test_verdict: whether it is inside its limits there too.
        coverage: by split, the classes of which it holds nothing or too little; no figure on it speaks of them.
        archive: the `.mar` in the model store.
        archive_sha256: its digest.
        stages: what each stage did.
    """

    recipe: str
    run_dir: Path
    candidates: tuple[Row, ...]
    unproven: tuple[Unproven, ...]
    eager: EagerReport
    selected: str
    why: str
    limits: Limits
    searched: bool
    test: QualityReport
    test_verdict: Verdict
    coverage: Mapping[SplitName, Coverage]
    archive: Path
    archive_sha256: str
    stages: tuple[Outcome, ...]

    @property
    def run_bytes(self) -> int:
        """What the run directory takes now, in bytes."""
        return folder_bytes(self.run_dir)

    @property
    def baseline(self) -> str:
        """The float candidate that ratios are over: `float.onnx.fp32`, or the other where there is no such one."""
        return baseline_of([row.report.name for row in self.candidates])

    def points(self) -> tuple[Point, ...]:
        """The candidates as points of the trade-off."""
        return tuple(
            Point(
                name=row.report.name,
                drop=row.report.quality.drop if row.report.lossy else 0.0,
                drop_low=row.report.quality.interval_lower if row.report.lossy else 0.0,
                drop_high=row.drop_upper if row.report.lossy else 0.0,
                latency_ms=row.report.timing(1).rounds_ms,
                size=row.report.size,
                allowed=row.verdict in (LOSSLESS, WITHIN),
                overturns=row.verdict == OVERTURNS,
                selected=row.selected,
            )
            for row in self.candidates
        )

    def fronts(self) -> dict[str, tuple[Cost, ...]]:
        """By candidate, the costs in which no other one is better at no larger a drop; see `pareto_front`."""
        points = self.points()
        costs: tuple[Cost, ...] = ("latency", "size")
        fronts = {cost: pareto_front(points, cost) for cost in costs}
        return {one.name: tuple(cost for cost in costs if one.name in fronts[cost]) for one in points}

    def to_json(self) -> dict[str, Any]:
        """As plain data, the same that the table shows."""
        fronts = self.fronts()
        absent = self.coverage["validation"].absent if "validation" in self.coverage else ()
        return {
            "recipe": self.recipe,
            "run_dir": str(self.run_dir),
            "run_bytes": self.run_bytes,
            "selected": self.selected,
            "why": self.why,
            "candidates": [
                {
                    **row.report.model_dump(mode="json"),
                    "verdict": row.verdict,
                    "drop_upper": row.drop_upper,
                    "confidence": row.confidence,
                    "smallest_provable_drop": row.smallest_provable_drop,
                    "front": list(fronts[row.report.name]),
                    "speed": [one.to_json() for one in row.speed],
                    "outcome": row.outcome,
                    "not_judged": list(absent) if row.report.lossy else [],
                    "selected": row.selected,
                }
                for row in self.candidates
            ],
            "unproven": [row.model_dump(mode="json") for row in self.unproven],
            "baseline": self.baseline,
            "eager": self.eager.model_dump(mode="json"),
            "limits": asdict(self.limits),
            "searched": self.searched,
            "test": self.test.to_json(),
            "test_verdict": asdict(self.test_verdict),
            "coverage": {which: asdict(found) for which, found in self.coverage.items()},
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
    require_temp()
    require_state_folder()  # of the server that tries the archive at the end
    archive = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / f"{loaded.model_name}.mar"
    check_store(archive)
    results: list[BuildResult] = []

    def publish(manifest: Manifest) -> None:
        """While the run directory is held, or another build could replace what is read here."""
        if strict:
            _require_test(folder, manifest)
        packed = _one(manifest, Kind.ARCHIVE)
        _publish(folder / packed.path, archive, packed.sha256)
        results.append(_result(folder, manifest, archive, ()))
        if not _is_drawn(folder):
            draw(results[0])

    with user_modules(loaded.folder):
        _, outcomes = run_stages(BUILD, loaded, folder, reporter or Silent(), force=force, finish=publish)
    return replace(results[0], stages=outcomes)


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
    """The result of a finished build, read from its run directory; its picture is drawn there again, if that may be.

    Raises:
        FileError: there is no finished build, or the picture cannot be written.
    """
    folder = Path(run_dir)
    manifest = read_manifest(folder)
    unfinished = [stage.name for stage in BUILD] if manifest is None else outdated(BUILD, manifest)
    if manifest is None or unfinished:
        missing = ", ".join(unfinished)
        raise FileError(f"{folder}: expected a finished build, found {missing} still to run; run pipeline build first")
    packed = folder / _one(manifest, Kind.ARCHIVE).path
    stored = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / packed.name
    result = _result(folder, manifest, stored if stored.is_file() else packed, ())
    if os.access(folder, os.W_OK):
        draw(result)
    return result


def _is_drawn(run_dir: Path) -> bool:
    """Whether both pictures are there and no stage ran since; drawing takes a second or two."""
    recorded = (run_dir / MANIFEST_NAME).stat().st_mtime_ns
    pictures = [run_dir / f"pareto.{form}" for form in _FORMS]
    return all(path.is_file() and path.stat().st_mtime_ns >= recorded for path in pictures)


def draw(result: BuildResult) -> tuple[Path, ...]:
    """Draw the trade-off between accuracy and latency or size into the run directory, as PNG and as SVG.

    Returns:
        The files; the same result gives the same bytes.

    Raises:
        FileError: they cannot be written.
    """
    from pipeline.plots.pareto import draw_pareto

    paths = []
    for form in _FORMS:
        path = result.run_dir / f"pareto.{form}"
        picture = draw_pareto(
            result.points(),
            title=f"{result.recipe}: what its candidates lose and gain",
            why=result.why,
            budget=result.limits.max_accuracy_drop,
            reference=result.baseline,
            form=form,
        )
        try:
            write_atomically(path, picture)
        except OSError as error:
            said = f"{path}: expected to write the picture there, found: {os_error_text(error)}"
            raise FileError(no_room(error, result.run_dir) or said) from error
        paths.append(path)
    return tuple(paths)


def resolve(recipe: str | Path | Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe and check what can be checked before any work.

    Raises:
        RecipeError: it has problems.
        DataError: weights or data that it names are not there.
    """
    if isinstance(recipe, Recipe) and overrides:
        raise RecipeError(f"overrides {', '.join(overrides)}: expected none for a recipe that is loaded already")
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    names = [spec.name for spec in candidate_specs(loaded.candidates)]
    named, searched = loaded.select.candidate, loaded.search_effort != "off"
    if named is not None and named not in names and not (searched and named.startswith(SLIM)):
        others = f", or one that the search makes ({SLIM}...)" if searched else ""
        absent = named.endswith(".bf16") and not computes_bfloat16()
        why = "; no build tries bfloat16 by itself on this processor, which does not compute in it" if absent else ""
        raise RecipeError(f"select.candidate: expected one of {', '.join(names)}{others}, found {named}{why}")
    check_recipe(loaded)
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


def _publish(packed: Path, stored: Path, sha256: str) -> None:
    """Copy the archive into the model store in one step, unless it is there already."""
    if stored.is_file() and digest_file(stored) == sha256:
        return
    content = packed.read_bytes()
    if digest_bytes(content) != sha256:
        raise FileError(f"{packed}: expected SHA-256 {sha256}, found other bytes; build again")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        for remains in stored.parent.glob(f".{stored.name}.*"):  # of a build that was killed right here
            remains.unlink(missing_ok=True)
        write_atomically(stored, content)
    except OSError as error:
        said = f"{stored}: expected to write the archive there, found: {os_error_text(error)}"
        raise FileError(no_room(error, stored.parent) or said) from error


def _result(run_dir: Path, manifest: Manifest, archive: Path, outcomes: tuple[Outcome, ...]) -> BuildResult:
    selection = _selection(run_dir, manifest)
    reports = {
        one.candidate: read_report(run_dir / one.path)
        for record in manifest.stages.values()
        for one in record.artifacts
        if one.kind is Kind.CANDIDATE_REPORT
    }
    eager = EagerReport.model_validate_json((run_dir / _one(manifest, Kind.EAGER_REPORT).path).read_bytes())
    baseline = reports[baseline_of([name for name in reports if name is not None])]
    rows = tuple(
        _row(reports[name], Verdict(**verdict), selection, eager=eager, baseline=baseline)
        for name, verdict in selection["verdicts"].items()
    )
    return BuildResult(
        recipe=manifest.recipe,
        run_dir=run_dir,
        candidates=rows,
        unproven=read_list(run_dir / _one(manifest, Kind.CANDIDATE_ORDER).path).unproven,
        eager=eager,
        selected=selection["selected"],
        why=selection["why"],
        limits=Limits(**selection["limits"]),
        searched="setting search.effort" in manifest.stages["candidates"].parts,  # without a search there is none
        test=QualityReport(**selection["test"]),
        test_verdict=Verdict(**selection["test_verdict"]),
        coverage=read_info(run_dir / _one(manifest, Kind.DATA_INFO).path).coverage,
        archive=archive,
        archive_sha256=_one(manifest, Kind.ARCHIVE).sha256,
        stages=outcomes,
    )


def _row(
    report: CandidateReport,
    verdict: Verdict,
    selection: Mapping[str, Any],
    *,
    eager: EagerReport,
    baseline: CandidateReport,
) -> Row:
    speed = speed_ups(report, eager=eager, baseline=baseline)
    return Row(
        report=report,
        verdict=verdict.text,
        drop_upper=verdict.drop_upper,
        confidence=verdict.confidence,
        smallest_provable_drop=verdict.smallest_provable_drop,
        speed=speed,
        outcome=outcome(
            report,
            verdict=verdict.text,
            drop_upper=verdict.drop_upper,
            limits=Limits(**selection["limits"]),
            speed=speed,
            float_size=baseline.size,
            goal=selection["goal"],
        ),
        selected=report.name == selection["selected"],
    )
