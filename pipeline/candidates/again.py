"""A candidate that is there already, held against its reference once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from handlers.serving import RuntimeSpec
from pipeline.candidates.evaluate import read_inputs, runtime_of, tolerance_of, too_large
from pipeline.candidates.spec import CandidateSpec
from pipeline.compress.onnx_dynamic import quantize_file
from pipeline.compress.passes import apply_passes
from pipeline.export.onnx import export_onnx
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import load_weights
from pipeline.verify.layers import LayerFinding
from pipeline.verify.locate import locate
from pipeline.verify.parity import ParityReport, check_parity
from pipeline.verify.reference import Reference, module_reference, remade_reference, unoptimized_reference


def is_quantized_onnx(spec: CandidateSpec) -> bool:
    """Whether a candidate was quantized as an ONNX file, and has no torch source."""
    return spec.format == "onnx" and spec.precision != "fp32"


@dataclass(frozen=True, kw_only=True)
class Source:
    """What candidates were made from.

    Args:
        model: the float model.
        weights: of the float network.
        samples: real inputs that parity is checked on.
        batch_sizes: examples per call in the parity check.
        evaluator_macs: multiply-accumulates up to which the reference evaluator is asked too.
        scratch: for temporary files.
    """

    model: ModelSpec
    weights: Path
    samples: Path
    batch_sizes: tuple[int, ...]
    evaluator_macs: int
    scratch: Path

    def deployable(self) -> nn.Module:
        """The float network behind its preprocessing, in evaluation mode."""
        network = self.model.build()
        load_weights(self.weights, network)
        return self.model.deployable(network.eval())

    def example(self) -> tuple[torch.Tensor, ...]:
        """Two samples, positional in the order of the model's inputs."""
        return tuple(torch.from_numpy(array[:2].copy()) for array in read_inputs(self.samples, self.model))


def quantize_again(spec: CandidateSpec, source: Source, *, opset: int) -> Path:
    """A quantized ONNX candidate's file, made from weights and passes once more.

    Args:
        spec: what the candidate is.
        source: what it was made from; the file lies in its scratch folder.
        opset: ONNX operator set version it was exported with.
    """
    folder = source.scratch / f"again-{spec.name}"
    folder.mkdir()
    plain, quantized = folder / "float.onnx", folder / runtime_of(spec).file
    module, _ = apply_passes(source.deployable(), spec.pruning, example=source.example())
    export_onnx(module, plain, inputs=source.model.inputs, example=source.example(), opset=opset)
    quantize_file(plain, quantized)
    return quantized


def check_again(
    spec: CandidateSpec, source: Source, file: Path, *, original: Path | None = None
) -> tuple[ParityReport, LayerFinding]:
    """Rebuild a candidate's reference from weights and passes, and hold its file against it.

    Args:
        spec: what the candidate is.
        source: what it was made from.
        file: its model file; a TorchScript file's digest is known by now.
        original: of a quantized ONNX file that was altered, the file that the build made; without it, such a file is
            held against itself with graph optimizations off.

    Returns:
        The parity report, and the layer at fault where it failed.
    """
    reference = _reference(spec, source, file, original)
    runtime: RuntimeSpec = runtime_of(spec)
    parity = check_parity(
        candidate=spec.name,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=source.model.inputs,
        samples=source.samples,
        tolerance=tolerance_of(spec),
        batch_sizes=source.batch_sizes,
        skip_evaluator=too_large(file, source.evaluator_macs),
        scratch=source.scratch,
    )
    finding = locate(
        parity,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=source.model.inputs,
        samples=source.samples,
    )
    return parity, finding


def _reference(spec: CandidateSpec, source: Source, file: Path, original: Path | None) -> Reference:
    if original is not None:
        return remade_reference(original, source.model.inputs)
    if is_quantized_onnx(spec):
        return unoptimized_reference(file, source.model.inputs)
    module, _ = apply_passes(source.deployable(), spec.passes, example=source.example())
    return module_reference(module, source.model.inputs)
