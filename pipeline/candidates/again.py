"""A candidate that is there already, held against its reference once more."""

from __future__ import annotations

from pathlib import Path

from handlers.serving import RuntimeSpec
from pipeline.candidates.evaluate import runtime_of, tolerance_of, too_large
from pipeline.candidates.ground import Ground
from pipeline.candidates.spec import CandidateSpec
from pipeline.compress.passes import apply_passes
from pipeline.verify.layers import LayerFinding
from pipeline.verify.locate import locate
from pipeline.verify.parity import ParityReport, check_parity
from pipeline.verify.reference import Reference, module_reference, unoptimized_reference


def check_again(
    spec: CandidateSpec, ground: Ground, file: Path, *, tuned: Path | None
) -> tuple[ParityReport, LayerFinding]:
    """Rebuild a candidate's reference from weights and passes, and hold its file against it.

    Args:
        spec: what the candidate is.
        ground: what it was made from.
        file: its model file; a TorchScript file's digest is known by now.
        tuned: its fine-tuned weights, if it has any.

    Returns:
        The parity report, and the layer at fault where it failed.
    """
    reference = _reference(spec, ground, file, tuned)
    runtime: RuntimeSpec = runtime_of(spec)
    parity = check_parity(
        candidate=spec.name,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=ground.model.inputs,
        samples=ground.samples,
        tolerance=tolerance_of(spec.precision),
        batch_sizes=ground.batch_sizes,
        skip_evaluator=too_large(file, ground.evaluator_macs),
        scratch=ground.scratch,
    )
    finding = locate(
        parity,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=ground.model.inputs,
        samples=ground.samples,
    )
    return parity, finding


def _reference(spec: CandidateSpec, ground: Ground, file: Path, tuned: Path | None) -> Reference:
    if spec.format == "onnx" and spec.precision != "fp32":
        return unoptimized_reference(file, ground.model.inputs)
    module, _ = apply_passes(ground.deployable(), spec.passes, example=ground.example(), weights=tuned)
    return module_reference(module, ground.model.inputs)
