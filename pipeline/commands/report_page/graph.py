"""The section on the graphs of float and of the winner, from `graph.json` in the run directory."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.words import points
from pipeline.engine.documents import read_document
from pipeline.errors import FileError
from pipeline.inspection.graph_comparison import GRAPH_NAME, GraphComparison
from pipeline.pages.graph_section import graph_section


def graph_of(result: BuildResult) -> str:
    """Write the section; empty where the run directory holds no comparison.

    Raises:
        FileError: the file is none, or is of other files than float and the winner.
    """
    path = result.run_dir / GRAPH_NAME
    if not path.is_file():
        return ""
    comparison = read_document(path, GraphComparison)
    digests = {row.report.name: row.report.sha256 for row in result.candidates}
    expected = (digests[result.baseline], digests[result.selected])
    if (comparison.before.sha256, comparison.after.sha256) != expected:
        raise FileError(
            f"{GRAPH_NAME}: expected {result.baseline} and {result.selected} as they are, found other files"
        )
    return graph_section(comparison, remarks=tuple(_remarks(result)), whole=f"{GRAPH_NAME} in the run directory")


def _remarks(result: BuildResult) -> Iterator[str]:
    """Say what the layers of the winner mean for its decisions, and which of them a pass left in float."""
    report = next(row.report for row in result.candidates if row.selected)
    if report.lossy:
        yield (
            "A compressed network answers with other numbers, so outputs differ. Whether that is too much, its drop "
            f"says: {points(report.quality.drop)} points of {result.drop_name} on validation, where "
            f"{report.quality.flips:,} of {report.quality.examples:,} decisions differ."
        )
    for step in report.passes:
        kept = step.settings.get("keep")
        if kept and isinstance(kept, (list, tuple)):
            yield f"The pass {step.kind} was told to leave in float: {', '.join(map(str, kept))}."
