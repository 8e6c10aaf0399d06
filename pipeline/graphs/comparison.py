"""Put two model files side by side: layers, times, outputs, and the first difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import FileError, PipelineError
from pipeline.formats import FORMATS, FormatName
from pipeline.graphs.attribution import group_times
from pipeline.graphs.matching import Match, blocks_of, fused_hosts, layer_names, match_layers
from pipeline.graphs.opened import SCRIPT_TIMES, Arrays, OpenedGraph, fitting, made_up, measured_file
from pipeline.graphs.rows import RowSide, make_row, with_first
from pipeline.graphs.script_layers import recorded
from pipeline.inspection.graph_comparison import CallTime, GraphComparison, GraphFile, LayerTime
from pipeline.inspection.layers import GraphLayer
from pipeline.measure.layer_times import Difference, FileTimes, MeasuredFile, measure_layers

_NOT_ASKED = "nothing was run, as was asked for"
_NO_INPUTS = "nobody knows inputs for it"


@dataclass(kw_only=True)
class _Side:
    """What is known of one of the files while the comparison is made."""

    graph: OpenedGraph
    names: tuple[str, ...]
    measured: MeasuredFile | None = None
    made_up: bool = False
    note: str = ""
    time: CallTime | None = None
    layer_times: dict[int, LayerTime] = field(default_factory=dict)
    timed_with: dict[int, str] = field(default_factory=dict)


def compare_graphs(
    before: OpenedGraph,
    after: OpenedGraph,
    *,
    scratch: Path,
    examples: Arrays | None = None,
    inputs: str = "",
    run: bool = True,
) -> GraphComparison:
    """Compare two files layer by layer.

    Args:
        before: the first file.
        after: the second file.
        scratch: existing folder for what is written meanwhile.
        examples: inputs (N, *shape) by name to run them on; made up where a file has others, or where it is None.
        inputs: words for these examples, after their number.
        run: whether the files are run, to time layers and to compare outputs; what may do more than compute never is.

    Returns:
        The comparison. What cannot be measured is a note in it.

    Raises:
        FileError: the folder cannot be written to.
    """
    if run:
        known = examples or made_up(before) or made_up(after)
        before = recorded(before, after.layers, known, scratch)
        after = recorded(after, before.layers, known, scratch)
    sides = (_side(before), _side(after))
    for place, side in enumerate(sides):
        _prepare(side, scratch / str(place), examples, run=run)
    if _run_alike(before, after):  # two measurements of one file would differ by chance
        sides[1].measured = sides[0].measured
    both = bool(before.layers and after.layers)
    matches = match_layers(before.layers, after.layers) if both else ()
    hosts = fused_hosts(matches, before.layers, after.layers)
    partners, notes = _partners(sides, matches, hosts)
    differences, count, problem = _measure(sides, partners, scratch)
    row_sides = tuple(_row_side(side) for side in sides)
    rows = [make_row(row_sides[0], row_sides[1], match, hosts, differences) for match in matches]
    words = "made-up examples, which are noise" if any(side.made_up for side in sides) else inputs
    return GraphComparison(
        before=_file(sides[0]),
        after=_file(sides[1]),
        rows=with_first(rows),
        inputs=f"{count} {words}" if count else "",
        notes=(
            *dict.fromkeys(f"{graph.source.label}: {graph.note}." for graph in (before, after) if graph.note),
            *notes,
            *problem,
        ),
    )


def _run_alike(before: OpenedGraph, after: OpenedGraph) -> bool:
    """Whether both are one and the same file, run in the same way."""
    one, other = ((graph.source.content, graph.source.threads, graph.source.optimization) for graph in (before, after))
    return one == other


def _side(graph: OpenedGraph) -> _Side:
    return _Side(graph=graph, names=layer_names(graph.layers))


def _row_side(side: _Side) -> RowSide:
    return RowSide(
        layers=side.graph.layers,
        names=side.names,
        times=side.layer_times,
        timed_with=side.timed_with,
        macs=_macs(side.graph.layers),
        blocks=blocks_of(side.graph.layers),
    )


def _macs(layers: Sequence[GraphLayer]) -> int | None:
    counts = [layer.macs for layer in layers if layer.macs is not None]
    return sum(counts) if layers and len(counts) == len(layers) else None


def _prepare(side: _Side, folder: Path, examples: Arrays | None, *, run: bool) -> None:
    """Find inputs for a file that may be run, or say why it is not."""
    if not run:
        side.note = _NOT_ASKED
    elif side.graph.refusal:
        side.note = side.graph.refusal
    elif side.graph.model is None:
        side.note = SCRIPT_TIMES
    else:
        side.made_up = not fitting(side.graph, examples)
        arrays = made_up(side.graph) if side.made_up else examples
        if arrays is None:
            side.note = _NO_INPUTS
            return
        try:
            folder.mkdir(exist_ok=True)
            side.measured = measured_file(side.graph, arrays, folder)
        except OSError as error:
            raise FileError(f"{folder}: expected to write files to measure there, found: {error.strerror}") from error


def _partners(
    sides: tuple[_Side, _Side], matches: Sequence[Match], hosts: Mapping[int, int]
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Layers whose outputs are compared, by position in the first file, and why there are none."""
    if any(side.measured is None for side in sides):
        return {}, ()
    if sides[0].graph.inputs.keys() != sides[1].graph.inputs.keys() or sides[0].made_up != sides[1].made_up:
        return {}, ("Outputs were not compared, because the files take different inputs.",)
    partners = {match.before: match.after for match in matches if match.before is not None and match.after is not None}
    return {one: other for one, other in partners.items() if other not in hosts.values()} | dict(hosts), ()


def _measure(
    sides: tuple[_Side, _Side], partners: Mapping[int, int], scratch: Path
) -> tuple[dict[int, Difference], int, tuple[str, ...]]:
    """Time the files that may be run, and return differences of outputs, their number of examples, and a problem."""
    timed = [(side, side.measured) for side in sides if side.measured is not None]
    if not timed:
        return {}, 0, ()
    before, after = sides[0].graph.layers, sides[1].graph.layers
    shown = [one for one, other in partners.items() if _same_shape(before[one], after[other])]
    try:
        found = measure_layers(
            [measured for _, measured in timed],
            pairs=[(before[one].handed_on, after[partners[one]].handed_on) for one in shown],
            bytes_per_example=sum(4 * math.prod(layer.shape or ()) for layer in before),
            scratch=scratch,
        )
    except PipelineError as error:
        for side, _ in timed:
            side.note = str(error)
        return {}, 0, ()
    for side, _ in timed:
        side.note = "" if found.times else f"an example takes {found.seconds:.1f} s, too long to time calls here"
    for (side, measured), times in zip(timed, found.times, strict=bool(found.times)):
        _add_times(side, measured, times)
    if found.problem:
        return {}, 0, (f"Outputs were not compared: {found.problem}.",)
    differences = dict.fromkeys(partners, Difference(reason="another shape"))
    return differences | dict(zip(shown, found.differences, strict=True)), found.examples, ()


def _add_times(side: _Side, measured: MeasuredFile, times: FileTimes) -> None:
    """Divide the time of a file's calls among its layers, scaled to a call without the profiler."""
    assert side.graph.model is not None
    groups, rest = group_times(side.graph.model, side.graph.layers, times.nodes)
    profiled = rest + sum(group.microseconds for group in groups)
    if not profiled:
        side.note = "ONNX Runtime's profiler tells no time of it"
        return
    factor = times.call_us / profiled
    side.time = CallTime(
        batch_size=times.batch_size,
        calls=times.calls,
        call_us=times.call_us,
        profiled_us=profiled,
        rest_us=rest * factor,
        threads=measured.threads,
    )
    for group in groups:
        names = tuple(side.names[place] for place in group.layers)
        side.layer_times[group.layers[0]] = LayerTime(
            microseconds=group.microseconds * factor,
            share=group.microseconds / profiled,
            stands_for=names if len(names) > 1 else (),
        )
        side.timed_with |= dict.fromkeys(group.layers[1:], names[0])


def _same_shape(before: GraphLayer, after: GraphLayer) -> bool:
    return before.shape is None or after.shape is None or before.shape == after.shape


def _file(side: _Side) -> GraphFile:
    graph, layers = side.graph, side.graph.layers
    versions = [] if graph.model is None else graph.model.opset_import
    forms: dict[str, FormatName] = {facts.runtime: name for name, facts in FORMATS.items()}
    return GraphFile(
        label=graph.source.label,
        file=graph.source.name,
        format=forms[graph.source.kind],
        size=len(graph.source.content),
        sha256=graph.sha256,
        opset={operators.domain or "ai.onnx": operators.version for operators in versions},
        parameters=sum(layer.parameters for layer in layers) if layers else None,
        macs=_macs(layers),
        time=side.time,
        time_note="" if side.time is not None else side.note,
    )
