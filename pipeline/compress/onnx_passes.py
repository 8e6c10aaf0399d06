"""The passes that act on an exported ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

from numpy.typing import NDArray

from pipeline.compress import onnx_dynamic, onnx_static
from pipeline.compress.pass_effect import PassReport
from pipeline.recipe.passes import DynamicInt8, FilePass, StaticInt8

# Raw inputs (N, *shape) by name, of the training split.
Examples = Mapping[str, NDArray[Any]]


def apply_file_pass(
    step: FilePass,
    source: Path,
    destination: Path,
    *,
    calibration: Callable[[int], Sequence[Examples]],
    keep: tuple[str, ...] = (),
) -> PassReport:
    """Apply a pass to an exported float file.

    Args:
        step: the pass.
        source: the ONNX file, left as it is.
        destination: where the new file goes.
        calibration: gives so many training examples; behind them the same in other sizes, where axes are free.
        keep: names of modules whose layers stay in float, besides those that the pass names.

    Raises:
        UsageError: the file holds no layer that the pass could act on.
    """
    match step:
        case DynamicInt8():
            return onnx_dynamic.quantize_file(source, destination, keep=keep)
        case StaticInt8():
            examples, *others = calibration(step.examples)
            return onnx_static.quantize_file(
                source,
                destination,
                examples=examples,
                others=others,
                method=step.method,
                activations=step.activations,
                reduce_range=step.reduce_range,
                keep=(*step.keep, *keep),
            )
        case unreachable:
            assert_never(unreachable)
