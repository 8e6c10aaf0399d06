"""What a build made: the rows of its table, the winner, and why it won; read from its run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.candidates.choose import OVERTURNS, Choice, Verdict
from pipeline.candidates.outcome import outcome
from pipeline.candidates.report import CandidateReport, EagerReport
from pipeline.candidates.selection import Selection
from pipeline.candidates.spec import baseline_of
from pipeline.candidates.speed import SpeedUp, speed_ups
from pipeline.candidates.unproven import CandidateList, Unproven
from pipeline.candidates.why_not import why_not
from pipeline.data.dataset import SplitName, read_info
from pipeline.engine.artifacts import TRAINING_PICTURES, Kind
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import Manifest
from pipeline.engine.places import folder_bytes
from pipeline.engine.runner import Outcome
from pipeline.errors import FileError
from pipeline.model_code.require import unlisted_operators
from pipeline.pages.front import Cost, Point, pareto_front
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.metrics import SplitMetrics
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.table import task_of
from pipeline.tasks.words import DecisionWords


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate and what was decided about it.

    Args:
        report: everything that was measured.
        verdict: verdict of the budget, with the bound that was held against it.
        speed: how many times faster than eager and than the float network's file, per batch size.
        outcome: what it gains over float in what is searched for, and what kept it from winning, in one clause.
        selected: whether it is the one in the archive.
    """

    report: CandidateReport
    verdict: Verdict
    speed: tuple[SpeedUp, ...]
    outcome: str
    selected: bool


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a build ended with.

    Args:
        recipe: name of the recipe.
        run_dir: folder where everything lies.
        candidates: rows of the table, in the order of the recipe.
        unproven: rows of what was tried and can never be selected, because it cannot be made or is not proven.
        eager: the float network run by torch itself, timed in the same rounds: a reference.
        selected: name of the winner.
        why: why it won.
        limits: what a lossy candidate may lose.
        goal: what the candidates competed in.
        searched: names of the networks that a search made; None where nothing was searched for.
        test: the winner against float on the test set, opened for this report alone.
        test_verdict: whether it is inside its limits there too.
        coverage: by split, the classes of which it holds nothing or too little; no figure on it speaks of them.
        metrics: metrics by split, as the field reports them: of the trained network on validation, and of the winner
            and of float on test; empty where the data have no labels to judge by.
        pictures: pictures of the training: learning curves, confusion matrix, and examples that are most wrong.
        words: words in which reports tell of the task's decisions.
        archive: the `.mar` in the model store.
        archive_sha256: SHA-256 of that file.
        unlisted_operators: operators that the winner calls and that `verify`, `bench` and `serve` allow only when they
            are named.
        stages: what each stage did.
        kept_epochs: epoch whose weights the float network has because validation chose it, of an ensemble one for each
            member; empty where nothing chose.
        processes: numbers of processes that trained its epochs, each once; empty where it was one.
    """

    recipe: str
    run_dir: Path
    candidates: tuple[Row, ...]
    unproven: tuple[Unproven, ...]
    eager: EagerReport
    selected: str
    why: str
    limits: Budget
    searched: tuple[str, ...] | None
    test: QualityReport
    test_verdict: Verdict
    coverage: Mapping[SplitName, Coverage]
    words: DecisionWords
    archive: Path
    archive_sha256: str
    unlisted_operators: tuple[str, ...]
    stages: tuple[Outcome, ...]
    kept_epochs: tuple[int, ...] = ()
    processes: tuple[int, ...] = ()
    metrics: Mapping[SplitName, SplitMetrics] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()
    goal: Goal = "latency"

    @property
    def kept_epoch(self) -> int | None:
        """The epoch that validation chose; None where nothing chose, and of an ensemble, whose members have others."""
        return self.kept_epochs[0] if len(self.kept_epochs) == 1 else None

    @property
    def run_bytes(self) -> int:
        """Size that the run directory has now, in bytes."""
        return folder_bytes(self.run_dir)

    @property
    def page(self) -> Path:
        """Page of the report. It is not there where it could not be made, which fails no build."""
        return self.run_dir / "report.html"

    @property
    def augmentation_sheet(self) -> Path | None:
        """Picture of training pictures as augmentation leaves them; None where nothing was augmented."""
        path = self.run_dir / "train" / "augmentation.png"
        return path if path.is_file() else None

    @property
    def metric(self) -> str:
        """Name of the mean score for what this network is for, such as accuracy."""
        return self.test.metric

    @property
    def labelled(self) -> bool:
        """Whether the data have labels; without them, all figures of quality are of agreement with float."""
        return self.test.judged_by == "targets"

    @property
    def drop_name(self) -> str:
        """Name of what a candidate may lose, such as accuracy against float."""
        return f"{self.metric} against float" if self.labelled else self.metric

    @property
    def baseline(self) -> str:
        """The float candidate that ratios are over: `float.onnx.fp32`, or the other where there is no such one."""
        return baseline_of([row.report.name for row in self.candidates])

    def points(self) -> tuple[Point, ...]:
        """Return the candidates as points of the trade-off."""
        return tuple(
            Point(
                name=row.report.name,
                drop=row.report.quality.drop if row.report.lossy else 0.0,
                drop_low=row.report.quality.interval_lower if row.report.lossy else 0.0,
                drop_high=row.verdict.adjusted_drop_upper if row.report.lossy else 0.0,
                latency_ms=row.report.timing(1).rounds_ms,
                size=row.report.size,
                allowed=row.verdict.allowed,
                overturns=row.verdict.text == OVERTURNS,
                selected=row.selected,
            )
            for row in self.candidates
        )

    def reasons(self) -> dict[str, str]:
        """Return, by candidate, why it is not the winner, and of the winner why it is, in one clause; see `choose`."""
        choice = Choice(
            selected=self.selected, why=self.why, verdicts={row.report.name: row.verdict for row in self.candidates}
        )
        reports = [row.report for row in self.candidates]
        return why_not(reports, choice, goal=self.goal, limits=self.limits)

    def fronts(self) -> dict[str, tuple[Cost, ...]]:
        """Return, by candidate, the costs in which no other one is better at no larger a drop; see `pareto_front`."""
        points = self.points()
        costs: tuple[Cost, ...] = ("latency", "size")
        fronts = {cost: pareto_front(points, cost) for cost in costs}
        return {point.name: tuple(cost for cost in costs if point.name in fronts[cost]) for point in points}

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data, the same that the table shows."""
        fronts = self.fronts()
        absent = self.coverage["validation"].absent if "validation" in self.coverage else ()
        return {
            "recipe": self.recipe,
            "run_dir": str(self.run_dir),
            "run_bytes": self.run_bytes,
            "selected": self.selected,
            "why": self.why,
            "judged_by": self.test.judged_by,
            "candidates": [
                {
                    **row.report.model_dump(mode="json"),
                    "verdict": row.verdict.text,
                    "adjusted_drop_upper": row.verdict.adjusted_drop_upper,
                    "confidence": row.verdict.confidence,
                    "smallest_provable_drop": row.verdict.smallest_provable_drop,
                    "front": list(fronts[row.report.name]),
                    "speed": [speed_up.to_json() for speed_up in row.speed],
                    "outcome": row.outcome,
                    "not_judged": list(absent) if row.report.lossy else [],
                    "selected": row.selected,
                }
                for row in self.candidates
            ],
            "unproven": [row.model_dump(mode="json") for row in self.unproven],
            "baseline": self.baseline,
            "eager": self.eager.model_dump(mode="json"),
            "limits": self.limits.model_dump(mode="json"),
            "searched": self.searched is not None,
            "test": self.test.model_dump(mode="json"),
            "test_verdict": self.test_verdict.model_dump(mode="json"),
            "metrics": {split: metrics.model_dump(mode="json") for split, metrics in self.metrics.items()},
            "pictures": [str(path) for path in self.pictures],
            "coverage": {split: asdict(coverage) for split, coverage in self.coverage.items()},
            "archive": str(self.archive),
            "archive_sha256": self.archive_sha256,
            "unlisted_operators": list(self.unlisted_operators),
            "stages": [asdict(outcome) for outcome in self.stages],
            "kept_epoch": self.kept_epoch,
            "kept_epochs": list(self.kept_epochs),
            "processes": list(self.processes),
        }


def read_selection(run_dir: Path, manifest: Manifest) -> Selection:
    """Return what the select stage decided."""
    return read_document(run_dir / manifest.one(Kind.SELECTION).path, Selection)


def read_result(run_dir: Path, manifest: Manifest, archive: Path, outcomes: tuple[Outcome, ...]) -> BuildResult:
    """Read the result of a finished build.

    Args:
        run_dir: run directory of the build.
        manifest: manifest of the build.
        archive: path of the archive.
        outcomes: what each stage did this time; empty where nothing was built.

    Raises:
        FileError: a document of the build is damaged, or another version's.
    """
    selection = read_selection(run_dir, manifest)
    reports = {
        name: read_document(run_dir / artifact.path, CandidateReport)
        for name, artifact in manifest.of_candidates(Kind.CANDIDATE_REPORT).items()
    }
    listed = read_document(run_dir / manifest.one(Kind.CANDIDATE_ORDER).path, CandidateList)
    eager = read_document(run_dir / manifest.one(Kind.EAGER_REPORT).path, EagerReport)
    info = read_info(run_dir / manifest.one(Kind.DATA_INFO).path)
    baseline = reports[baseline_of(reports)]
    winner = manifest.of_candidates(Kind.CANDIDATE_MODEL)[selection.selected]
    kept_epochs, processes = _training(run_dir / manifest.one(Kind.TRAINING_HISTORY).path)
    return BuildResult(
        recipe=manifest.recipe,
        run_dir=run_dir,
        candidates=tuple(
            _row(reports[name], verdict, selection, eager=eager, baseline=baseline)
            for name, verdict in selection.verdicts.items()
        ),
        unproven=listed.unproven,
        eager=eager,
        selected=selection.selected,
        why=selection.why,
        limits=selection.limits,
        goal=selection.goal,
        searched=listed.searched,
        test=selection.test,
        test_verdict=selection.test_verdict,
        coverage=info.decided(selection.decided).coverage,
        words=task_of(info.task).words,
        archive=archive,
        archive_sha256=manifest.one(Kind.ARCHIVE).sha256,
        unlisted_operators=unlisted_operators(run_dir / winner.path, reports[selection.selected].runtime.kind),
        stages=outcomes,
        kept_epochs=kept_epochs,
        processes=processes,
        metrics=_metrics(run_dir, manifest),
        pictures=tuple(
            run_dir / artifact.path for artifact in manifest.artifacts() if artifact.kind in TRAINING_PICTURES
        ),
    )


def _training(history: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The epochs that validation chose, if it did, and the numbers of processes where they were several."""
    try:
        document = json.loads(history.read_bytes())
        kept, processes = document.get("kept"), document.get("processes", [])
        numbers = () if kept is None else kept.get("epochs") or [kept["epoch"]]
        counts = {processes} if isinstance(processes, int) else {int(count) for count in processes}
        return tuple(map(int, numbers)), tuple(sorted(counts))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(
            f"{history}: expected the history of a training, found: {error}; run pipeline build again"
        ) from error


def _metrics(run_dir: Path, manifest: Manifest) -> dict[SplitName, SplitMetrics]:
    documents = [
        read_document(run_dir / artifact.path, SplitMetrics)
        for artifact in manifest.artifacts()
        if artifact.kind in (Kind.VALIDATION_METRICS, Kind.TEST_METRICS)
    ]
    return {document.split: document for document in documents}


def _row(
    report: CandidateReport, verdict: Verdict, selection: Selection, *, eager: EagerReport, baseline: CandidateReport
) -> Row:
    speed = speed_ups(report, eager=eager, baseline=baseline)
    return Row(
        report=report,
        verdict=verdict,
        speed=speed,
        outcome=outcome(
            report,
            verdict=verdict,
            limits=selection.limits,
            speed=speed,
            float_size=baseline.size,
            goal=selection.goal,
        ),
        selected=report.name == selection.selected,
    )
