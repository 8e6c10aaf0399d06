"""Writes the comparison of float and winner, layer by layer, into a build's run directory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.build_result import BuildResult
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import write_document
from pipeline.engine.manifest import MANIFEST_NAME, Manifest, is_current
from pipeline.engine.stage import Reporter, report_status
from pipeline.inspection.graph_comparison import GRAPH_NAME, GraphComparison

if TYPE_CHECKING:
    from pipeline.graphs.opened import Arrays, GraphSource

_INPUT = "input."


def is_compared(run_dir: Path) -> bool:
    """Whether the comparison is there and no stage ran since; making it takes some seconds."""
    return is_current(run_dir / GRAPH_NAME, run_dir / MANIFEST_NAME)


def write_graph(result: BuildResult, manifest: Manifest, reporter: Reporter) -> None:
    """Compare the winner with float on the build's samples, and write `graph.json` into the run directory.

    Where this fails, the build is as good as it was: a line says why there is no such file.

    Args:
        result: result of the build.
        manifest: its manifest.
        reporter: reporter that is told what happens.
    """
    path = result.run_dir / GRAPH_NAME
    path.unlink(missing_ok=True)  # that of an earlier build would speak of other files
    names = " and ".join(dict.fromkeys((result.baseline, result.selected)))
    report_status(reporter, "step", f"graph: {names}, layer by layer")
    try:
        write_document(path, _compare(result, manifest))
    except Exception as error:  # noqa: BLE001 - the archive is proven and stored; nothing here may cost it
        reason = " ".join(str(error).split())
        reporter.log(f"graph: not compared: {type(error).__name__}: {reason[:300]}; {GRAPH_NAME} was not written")


def _compare(result: BuildResult, manifest: Manifest) -> GraphComparison:
    from pipeline.engine.array_files import read_arrays
    from pipeline.graphs.comparison import compare_graphs
    from pipeline.graphs.opened import open_graph

    stored = read_arrays(result.run_dir / manifest.one(Kind.SAMPLES).path)
    samples = {name.removeprefix(_INPUT): array for name, array in stored.items() if name.startswith(_INPUT)}
    with tempfile.TemporaryDirectory(prefix="graph-") as scratch:
        before, after = (
            open_graph(_source(result, manifest, name, samples)) for name in (result.baseline, result.selected)
        )
        return compare_graphs(
            before, after, scratch=Path(scratch), examples=samples, inputs="of the validation examples"
        )


def _source(result: BuildResult, manifest: Manifest, name: str, samples: Arrays) -> GraphSource:
    from pipeline.graphs.opened import GraphSource

    artifact = manifest.of_candidates(Kind.CANDIDATE_MODEL)[name]
    runtime = next(row.report.runtime for row in result.candidates if row.report.name == name)
    return GraphSource(
        label=name,
        name=runtime.file,
        kind=runtime.kind,
        content=(result.run_dir / artifact.path).read_bytes(),
        threads=runtime.threads,
        optimization=runtime.optimization,
        examples=samples,
    )
