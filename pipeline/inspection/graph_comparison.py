"""The file graph.json: two model files side by side, layer by layer, top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pipeline.engine.documents import Document

GRAPH_NAME = "graph.json"
# ONNX Runtime's profiler reports whole microseconds, so that it says nothing of what is shorter.
TOO_SHORT_US = 5.0
ChangeKind = Literal[
    "removed", "added", "replaced", "narrowed", "widened", "quantized", "reformatted", "fused", "weights"
]
Side = Literal["before", "after"]


class Change(Document):
    """One way in which a layer differs.

    Args:
        kind: what happened to it. `replaced` is another kind of layer, `reformatted` another number format that is no
            integer, `weights` the same form with other values.
        words: the same in words that a person reads, such as `narrowed: 32 to 16 channels`.
    """

    kind: ChangeKind
    words: str


class LayerTime(Document):
    """Measured time of the layers that one or more nodes of the optimized graph stand for.

    Args:
        microseconds: time in one call, scaled so that all layers and the rest add up to a call without the profiler.
        share: share of the call, from 0 to 1.
        stands_for: names of all layers in it, where there are several: ONNX Runtime fused them.
    """

    microseconds: float
    share: float
    stands_for: tuple[str, ...] = ()

    @property
    def too_short(self) -> bool:
        """Whether the profiler is too coarse to tell this time."""
        return self.microseconds < TOO_SHORT_US


class LayerSide(Document):
    """A layer as one of the two files has it.

    Args:
        kind: class of the user's module where the exporter recorded it, else the operator.
        operators: its operators in the file, those that only prepare numbers aside.
        shape: shape of its output for one example, without the axis of the batch; None where it is unknown.
        channels: size of the first of these axes for a layer with weights, which pruning narrows; None for others.
        parameters: number of learned values.
        macs: multiply-accumulates for one example; None where unknown.
        compute_share: share of the file's multiply-accumulates, from 0 to 1; None where unknown.
        number_format: format that it computes in: fp32, fp16, bf16, int8 and so on; empty where it is unknown.
        time: its measured time; None where there is none, or where it is part of the time of `timed_with`.
        timed_with: name of the layer whose time holds that of this one; empty where there is none.
    """

    kind: str
    operators: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    channels: int | None = None
    parameters: int = 0
    macs: int | None = None
    compute_share: float | None = None
    number_format: str = ""
    time: LayerTime | None = None
    timed_with: str = ""


class LayerRow(Document):
    """A layer before and after.

    Args:
        name: name of the user's module, as it stands in the network; the operator where the file holds no names.
        before: layer of the first file; None where that one lacks it.
        after: layer of the second file; None where that one lacks it.
        changes: ways in which it differs; empty where it is the same.
        largest_difference: largest absolute difference of its output on the samples; None where outputs cannot be
            compared (see `difference_note`).
        largest_value: largest absolute value of its output in the first file, to hold the difference against.
        difference_note: reason why there is no difference, such as `another shape`.
        first: whether it is the first layer, from the top, that differs in form, or in its output by more than
            rounding. It is true of one row at most.
    """

    name: str
    before: LayerSide | None
    after: LayerSide | None
    changes: tuple[Change, ...] = ()
    largest_difference: float | None = None
    largest_value: float | None = None
    difference_note: str = ""
    first: bool = False

    def side(self, side: Side) -> LayerSide | None:
        """The layer as one of the files has it."""
        return self.before if side == "before" else self.after


class CallTime(Document):
    """Time of a call of a file, with and without the profiler.

    Args:
        batch_size: examples in the call.
        calls: number of profiled calls; each figure is a median over them.
        call_us: length of a call without the profiler, in microseconds.
        profiled_us: sum over all nodes under the profiler, in microseconds.
        rest_us: part of `call_us` in nodes that belong to no layer, such as changes of layout, scaled likewise.
        threads: number of threads.
    """

    batch_size: int
    calls: int
    call_us: float
    profiled_us: float
    rest_us: float = 0.0
    threads: int = 1


class GraphFile(Document):
    """One of the two files.

    Args:
        label: name of the candidate in a build, else of the file.
        file: name of the file.
        format: format of the model file.
        size: size of the model file in bytes.
        sha256: digest of the model file.
        opset: version by operator set; empty for TorchScript.
        parameters: number of learned values; None where it is unknown.
        macs: multiply-accumulates for one example; None where unknown.
        time: time of a call; None where there is none.
        time_note: reason why there is no time of each layer; empty where there is one.
    """

    label: str
    file: str
    format: Literal["onnx", "torchscript"]
    size: int
    sha256: str
    opset: dict[str, int]
    parameters: int | None = None
    macs: int | None = None
    time: CallTime | None = None
    time_note: str = ""


class GraphComparison(Document):
    """Two model files side by side.

    Args:
        schema_number: number of this form of the file.
        before: the first file; in a build, float.
        after: the second file; in a build, the winner.
        rows: layers of both, top to bottom.
        inputs: words that say on which inputs outputs were compared; empty where nothing ran.
        notes: sentences on what could not be found out.
    """

    title: ClassVar[str] = "a comparison of graphs as pipeline build and pipeline diff write it"

    schema_number: Literal[1] = 1
    before: GraphFile
    after: GraphFile
    rows: tuple[LayerRow, ...]
    inputs: str = ""
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> LayerRow | None:
        """The first layer that differs; None where none does."""
        return next((row for row in self.rows if row.first), None)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return self.model_dump(mode="json")

    def file(self, side: Side) -> GraphFile:
        """One of the two files."""
        return self.before if side == "before" else self.after
