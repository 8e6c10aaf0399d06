"""A candidate that is there already, held against its reference once more."""

from __future__ import annotations

from pathlib import Path

from pipeline.candidates.evaluate import hold_against, make_file, runtime_of
from pipeline.candidates.ground import Ground
from pipeline.candidates.spec import CandidateSpec
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.parity import ParityReport
from pipeline.checks.reference import Reference, module_reference, remade_reference, unoptimized_reference
from pipeline.compress.passes import apply_passes
from pipeline.precision import PRECISIONS


def quantize_again(spec: CandidateSpec, ground: Ground, *, tuned: Path | None) -> Path:
    """A quantized ONNX candidate's file, made from weights and passes once more.

    Args:
        spec: what the candidate is.
        ground: what it was made from; the file lies in its scratch folder.
        tuned: its fine-tuned weights, if it has any.
    """
    folder = ground.scratch / f"again-{spec.name}"
    folder.mkdir()
    file = folder / runtime_of(spec).file
    make_file(spec, ground, file, tuned=tuned)
    return file


def check_again(
    spec: CandidateSpec, ground: Ground, file: Path, *, tuned: Path | None, original: Path | None = None
) -> tuple[ParityReport, LayerFinding]:
    """Rebuild a candidate's reference from weights and passes, and hold its file against it.

    Args:
        spec: what the candidate is.
        ground: what it was made from.
        file: its model file; a TorchScript file's digest is known by now.
        tuned: its fine-tuned weights, if it has any.
        original: of a quantized ONNX file that was altered, the file that the build made; without it, such a file is
            held against itself with graph optimizations off.

    Returns:
        The parity report, and the layer at fault where it failed.
    """
    return hold_against(_reference(spec, ground, file, tuned, original), spec, ground, file)


def _reference(spec: CandidateSpec, ground: Ground, file: Path, tuned: Path | None, original: Path | None) -> Reference:
    if original is not None:
        return remade_reference(original, ground.model.inputs)
    if spec.file_pass is not None:
        return unoptimized_reference(file, ground.model.inputs)
    module, _ = apply_passes(ground.deployable(), spec.passes, example=ground.example(), weights=tuned)
    return module_reference(module, ground.model.inputs, exact=PRECISIONS[spec.precision].is_float32)
