"""Checks a candidate that exists already against its reference once more."""

from __future__ import annotations

from pathlib import Path

from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import hold_against, make_file, runtime_of
from pipeline.candidates.spec import CandidateSpec
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.parity_report import ParityReport
from pipeline.checks.reference import Reference, module_reference, remade_reference, unoptimized_reference
from pipeline.compress.passes import apply_passes
from pipeline.precision import PRECISIONS


def requantize(spec: CandidateSpec, context: Context, *, tuned: Path | None) -> Path:
    """Make the file of a quantized ONNX candidate from weights and passes once more.

    Args:
        spec: what the candidate is.
        context: what it was made from; the file lies in its scratch folder.
        tuned: file of its fine-tuned weights; None without any.
    """
    folder = context.scratch / f"again-{spec.name}"
    folder.mkdir()
    file = folder / runtime_of(spec, context).file
    make_file(spec, context, file, tuned=tuned)
    return file


def recheck(
    spec: CandidateSpec, context: Context, file: Path, *, tuned: Path | None, original: Path | None = None
) -> tuple[ParityReport, LayerFinding]:
    """Rebuild a candidate's reference from weights and passes, and check its file against it.

    Args:
        spec: what the candidate is.
        context: what it was made from.
        file: its model file. The caller has compared the digest of a TorchScript file.
        tuned: file of its fine-tuned weights; None without any.
        original: the file that the build made, where a quantized ONNX file was altered afterwards. Without it, a
            quantized file is compared with itself with graph optimizations off.

    Returns:
        The parity report, and the layer at fault where it failed.
    """
    return hold_against(_reference(spec, context, file, tuned, original), spec, context, file)


def _reference(
    spec: CandidateSpec, context: Context, file: Path, tuned: Path | None, original: Path | None
) -> Reference:
    if original is not None:
        return remade_reference(original, context.model.inputs, context.model.outputs)
    if spec.file_pass is not None:
        return unoptimized_reference(file, context.model.inputs, context.model.outputs)
    module, _ = apply_passes(context.deployable(), spec.passes, example=context.example(), weights=tuned)
    return module_reference(module, context.model.inputs, exact=PRECISIONS[spec.precision].is_float32)
