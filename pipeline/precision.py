"""The number formats that a network may compute in, one entry each; what a precision changes is read from here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pipeline._handlers.runtimes import Optimization
from pipeline._handlers.tolerance import BFLOAT16, FLOAT32, INT8_DYNAMIC, INT8_STATIC, Tolerance
from pipeline.formats import FormatName

Precision = Literal["fp32", "int8-dynamic", "int8-static", "bf16"]
# The passes that say in which number format a network computes. They come last.
ConvertingPass = Literal["dynamic-int8", "static-int8", "bfloat16"]
CpuFeature = Literal["bfloat16"]


@dataclass(frozen=True, kw_only=True)
class PrecisionFacts:
    """What is true of a precision.

    Args:
        made_by: the pass that brings a network into it; None for the one that networks are trained in.
        formats: of the files in which it can be had.
        tolerance: how far the answers of a file may be from those of its reference.
        optimization: of the runtime when the file is loaded. Where it is `none`, nothing may move where a value is
            rounded, so constants are not folded at export either.
        needs: what the processor must compute in by itself, or the file is slower than float; None for nothing.
        scales_per_call: whether activations are scaled anew in each call, so that an answer depends on its batch.
        converts_convolutions: whether an ONNX file has its convolutions in it too, and not only its linear layers.
        by_layer: whether each layer is brought into it by itself, so that single ones may stay in float.
        always_searched: whether a search makes each of its networks in it, which every bound on the drop accounts for;
            if not, only where the float network is better by it.
        why_no_gain: one clause on why a file may be no faster than float; empty where none is known.
        meaning: what it is, for a reader who meets its name for the first time.
    """

    made_by: ConvertingPass | None
    formats: tuple[FormatName, ...]
    tolerance: Tolerance
    optimization: Optimization
    needs: CpuFeature | None
    scales_per_call: bool
    converts_convolutions: bool
    by_layer: bool
    always_searched: bool
    why_no_gain: str
    meaning: str

    @property
    def is_float32(self) -> bool:
        """Whether the network computes as it was trained, so that nothing is lost."""
        return self.made_by is None


PRECISIONS: dict[Precision, PrecisionFacts] = {
    "fp32": PrecisionFacts(
        made_by=None,
        formats=("torchscript", "onnx"),
        tolerance=FLOAT32,
        optimization="all",
        needs=None,
        scales_per_call=False,
        converts_convolutions=False,
        by_layer=True,
        always_searched=True,
        why_no_gain="",
        meaning="computes in 32-bit floats",
    ),
    "int8-dynamic": PrecisionFacts(
        made_by="dynamic-int8",
        formats=("torchscript", "onnx"),
        tolerance=INT8_DYNAMIC,
        optimization="all",
        needs=None,
        scales_per_call=True,
        converts_convolutions=False,
        by_layer=True,
        always_searched=True,
        why_no_gain="scales are found anew in each call, convolutions stay in float",
        meaning="8-bit weights; how activations are scaled is found anew in each call",
    ),
    "int8-static": PrecisionFacts(
        made_by="static-int8",
        formats=("onnx",),  # ONNX Runtime alone runs it
        tolerance=INT8_STATIC,
        optimization="all",
        needs=None,
        scales_per_call=False,
        converts_convolutions=True,
        by_layer=True,
        always_searched=True,
        why_no_gain="quantizing and dequantizing cost what the int8 kernels gain on layers of this size",
        meaning="8-bit weights and activations; how they are scaled was fixed beforehand, on training examples",
    ),
    "bf16": PrecisionFacts(
        made_by="bfloat16",
        formats=("torchscript",),  # ONNX Runtime has no kernels for it on x86-64
        tolerance=BFLOAT16,
        # TorchScript's optimizer makes it round elsewhere and no faster. Measured, time optimized over as saved: 1.0
        # for convolutional networks and a vision transformer, 1.3 to 1.7 for linear layers 2,048 wide.
        optimization="none",
        needs="bfloat16",
        scales_per_call=False,
        converts_convolutions=False,
        by_layer=False,
        always_searched=False,  # tried in vain where float gains nothing by it, and every try makes all bounds stricter
        why_no_gain="",
        meaning="computes in 16-bit floats (bfloat16)",
    ),
}


def precision_of(passes: Collection[str]) -> Precision:
    """The precision that passes lead to.

    Args:
        passes: their kinds.
    """
    return next((name for name, facts in PRECISIONS.items() if facts.made_by in passes), "fp32")
