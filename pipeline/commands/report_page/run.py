"""The report of a run directory: what its page shows, gathered from the files that the stages left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.archive.evidence.document import read_evidence
from pipeline.archive.mar import read_archive
from pipeline.candidates.unproven import CandidateList
from pipeline.commands.build_result import BuildResult, read_selection
from pipeline.commands.finished import recorded_recipe
from pipeline.commands.report_page.answers import Compared, compare_answers
from pipeline.commands.report_page.calibration import calibration_of
from pipeline.commands.report_page.digests import digests_of
from pipeline.commands.report_page.disagreements import disagreements_of
from pipeline.commands.report_page.elsewhere import elsewhere_of
from pipeline.commands.report_page.graph import graph_of
from pipeline.commands.report_page.proofs import proofs_of
from pipeline.commands.report_page.quality import confusion_of
from pipeline.commands.report_page.rows import candidates_of
from pipeline.commands.report_page.trade_off import trade_off_of
from pipeline.commands.report_page.training import training_of
from pipeline.commands.report_page.verdict import verdict_of
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import Manifest
from pipeline.errors import PipelineError
from pipeline.pages.report.document import ReportDocument, SectionName
from pipeline.stages.smoke import SmokeReport

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The report of a run directory.

    Args:
        document: what the page shows.
        graph: the section on the graphs; empty where there is none.
    """

    document: ReportDocument
    graph: str


def report_of_run(result: BuildResult, manifest: Manifest) -> RunReport:
    """Gather what the report of a finished build shows; a part whose files are gone says so.

    Args:
        result: what the build ended with.
        manifest: manifest of its run directory.
    """
    run_dir, absent = result.run_dir, dict[SectionName, str]()

    def part(section: SectionName, make: Callable[[], T]) -> T | None:
        """Make a part that needs files which somebody may have removed since."""
        try:
            return make()
        except (PipelineError, OSError, ValueError, KeyError) as error:
            absent[section] = f"This part cannot be told: {_without_folder(error, run_dir)}"
            return None

    selection = read_selection(run_dir, manifest)
    recipe = recorded_recipe(run_dir, manifest)
    named = recipe.select.candidate
    listed = read_document(run_dir / manifest.one(Kind.CANDIDATE_ORDER).path, CandidateList)
    smoke = part("proofs", lambda: read_document(run_dir / manifest.one(Kind.SMOKE_REPORT).path, SmokeReport))
    archive = part("digests", lambda: read_archive(run_dir / manifest.one(Kind.ARCHIVE).path))
    compared = part("disagreements", lambda: _compared(result, manifest))
    if result.selected == result.baseline:
        absent["disagreements"] = "The winner is the float network's own file, which disagrees with nothing."
    calibration = part("calibration", lambda: calibration_of(result, compared))
    if calibration is None:
        absent.setdefault("calibration", "Answers have no probabilities here, or no labels to hold them against.")
    if not result.metrics.get("test"):
        absent["confusion"] = "The data have no labels to judge by."
    graph = part("graph", lambda: graph_of(result)) or ""
    if not graph:
        absent.setdefault("graph", "The run directory holds no comparison of the two graphs.")
    document = ReportDocument(
        name=result.recipe,
        source=f"What a build made of the recipe {result.recipe}, from all that was measured.",
        verdict=verdict_of(result, listed=listed, named=named, processor=_processor(manifest)),
        trade_off=trade_off_of(result, selection, named=named),
        candidates=candidates_of(result, listed),
        proofs=proofs_of(result, smoke=smoke),
        disagreements=None
        if compared is None or archive is None or result.selected == result.baseline
        else part(
            "disagreements",
            lambda: disagreements_of(compared, archive.serving, shown=recipe.reported_examples),
        ),
        calibration=calibration,
        confusion=confusion_of(result),
        training=part(
            "training",
            lambda: training_of(run_dir / manifest.one(Kind.TRAINING_HISTORY).path, kept=result.kept_epochs),
        ),
        elsewhere=() if archive is None else elsewhere_of(archive),
        digests=()
        if archive is None
        else part("digests", lambda: digests_of(archive, read_evidence(archive.path.name, archive.evidence))) or (),
        absent=absent,
    )
    return RunReport(document=document, graph=graph)


def _compared(result: BuildResult, manifest: Manifest) -> Compared:
    rows = {row.report.name: row.report for row in result.candidates}
    return compare_answers(
        result.run_dir, manifest, rows[result.selected], rows[result.baseline], folder=Path(manifest.folder)
    )


def _processor(manifest: Manifest) -> str:
    """The name of the processor that the candidates were timed on; empty where the record lacks it."""
    record = manifest.stages.get("candidates")
    return record.parts.get("outside cpu", "") if record is not None else ""


def _without_folder(error: Exception, run_dir: Path) -> str:
    """Write an error without the place of the run directory, which says something of a machine."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(f"{run_dir.resolve()}/", "").replace(f"{run_dir}/", "")
