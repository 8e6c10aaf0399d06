"""Which layer costs a compressed network its accuracy: each is left as it was, in turn, the others compressed."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.conv import _ConvNd

from pipeline._handlers.model_file import load_model, run_chunks
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import quantize_file, runtime_of
from pipeline.candidates.spec import CandidateSpec
from pipeline.checks.reference import module_reference
from pipeline.compress.pass_effect import weighted_layers, weights_of
from pipeline.compress.passes import apply_passes
from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.export.onnx import export_onnx
from pipeline.precision import PRECISIONS
from pipeline.recipe.passes import ChannelPruning, FineTune, Pass

_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class LayerGain:
    """What leaving one layer out of one pass would win back.

    Args:
        layer: name of the module, as its user knows it.
        kind: the pass it is left out of.
        accuracy: gain in the mean score.
        divergence: fall of the divergence from float, in the task's unit; positive is closer to float.
    """

    layer: str
    kind: str
    accuracy: float
    divergence: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The layers of one candidate, the one that would win back most first.

    Args:
        candidate: its name.
        examples: how many validation examples it was measured on.
        drop: accuracy lost against float on them.
        divergence: from float on them, in the task's unit: of classification the mean Kullback-Leibler one, in nats.
        gains: by accuracy, then by divergence.
        left_out: how many layers were not tried for lack of time; those with the fewest weights.
    """

    candidate: str
    examples: int
    drop: float
    divergence: float
    gains: tuple[LayerGain, ...]
    left_out: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def rank_layers(
    spec: CandidateSpec, context: Context, validation: Split, *, tuned: Path | None, limit_s: float = 120.0
) -> Ranking:
    """Measure what each layer that a pass touched would win back if that pass left it out.

    What was pruned before a fine-tune pass is not tried: with another structure it would have to be trained again. Nor
    are layers in a number format that all compute in or none, such as bfloat16.

    Args:
        spec: a lossy candidate.
        context: what it was made from.
        validation: the examples to measure on; a few hundred will do.
        tuned: its fine-tuned weights, if it has any.
        limit_s: no further layer is tried after so many seconds.
    """
    started = time.monotonic()
    network = context.deployable()
    arrays = {name: np.ascontiguousarray(values) for name, values in validation.inputs.items()}
    before = run_chunks(module_reference(network, context.model.inputs).answer, arrays, _BATCH)

    def judged(logits: NDArray[np.float32]) -> tuple[float, float]:
        """Mean score, and the divergence of the answers from those of float, in nats."""
        accuracy = float(context.task.scores(logits, validation.labels).mean())
        return accuracy, context.task.divergence(before, logits, activation=context.model.outputs_are)

    accuracy, divergence = judged(_answers(spec, context, network, arrays, tuned))
    tried = sorted(_touched(spec, context, network, tuned), key=lambda one: -one.weights)
    gains: list[LayerGain] = []
    for one in tried:
        if gains and time.monotonic() - started > limit_s:
            break
        right, distance = judged(_answers(spec, context, network, arrays, tuned, keep=one))
        name = one.layer.removeprefix("network.")
        gains.append(LayerGain(layer=name, kind=one.kind, accuracy=right - accuracy, divergence=divergence - distance))
    return Ranking(
        candidate=spec.name,
        examples=len(validation.labels),
        drop=judged(before)[0] - accuracy,
        divergence=divergence,
        gains=tuple(sorted(gains, key=lambda one: (-one.accuracy, -one.divergence))),
        left_out=len(tried) - len(gains),
    )


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A layer that one pass leaves out."""

    kind: str
    layer: str
    weights: int = 0


def _touched(spec: CandidateSpec, context: Context, network: nn.Module, tuned: Path | None) -> list[_Kept]:
    torch_passes = spec.passes if spec.file_pass is None else spec.float_passes
    compressed, reports = apply_passes(network, torch_passes, example=context.example(), weights=tuned)
    last = max((place for place, one in enumerate(torch_passes) if isinstance(one, FineTune)), default=-1)
    whole = {facts.made_by for facts in PRECISIONS.values() if not facts.by_layer}
    touched = [
        _Kept(kind=report.kind, layer=layer.name, weights=layer.weights)
        for report in reports[last + 1 :]
        if report.kind not in whole
        for layer in report.layers
        if layer.touched and (report.kind != ChannelPruning().kind or _narrower(layer.name, network, compressed))
    ]
    if spec.file_pass is not None:
        kinds = (nn.Linear, _ConvNd) if PRECISIONS[spec.precision].converts_convolutions else (nn.Linear,)
        layers = [(name, one) for name, one in weighted_layers(compressed).items() if isinstance(one, kinds)]
        touched += [
            _Kept(kind=spec.file_pass.kind, layer=name, weights=sum(weight.numel() for weight in weights_of(one)))
            for name, one in layers
        ]
    return touched


def _narrower(layer: str, before: nn.Module, after: nn.Module) -> bool:
    """Whether a layer lost channels of its own, and not only some of those it reads."""
    widths = []
    for network in (before, after):
        module = network.get_submodule(layer)
        assert isinstance(module, _ConvNd | nn.Linear)
        widths.append(module.out_channels if isinstance(module, _ConvNd) else module.out_features)
    return widths[1] < widths[0]


def _answers(
    spec: CandidateSpec,
    context: Context,
    network: nn.Module,
    arrays: Mapping[str, NDArray[Any]],
    tuned: Path | None,
    *,
    keep: _Kept | None = None,
) -> NDArray[np.float32]:
    """Logits of a candidate, as it would be with one layer left out of one pass."""
    # What depends on its batch is served one by one.
    size = 1 if PRECISIONS[spec.precision].scales_per_call else _BATCH
    inputs = context.model.inputs
    if spec.file_pass is None:
        module = _compressed(network, spec.passes, context, tuned, keep)
        return run_chunks(module_reference(module, inputs).answer, arrays, size)
    in_float = (keep.layer,) if keep is not None and keep.kind == spec.file_pass.kind else ()
    unpruned = f"{keep.kind}-{keep.layer}" if keep is not None and not in_float else "nothing"
    runtime = runtime_of(spec)
    plain, quantized = context.scratch / f"float-{spec.name}-without-{unpruned}.onnx", context.scratch / runtime.file
    if not plain.exists():
        module = _compressed(network, spec.float_passes, context, tuned, keep)
        export_onnx(module, plain, inputs=inputs, example=context.example(), opset=context.opset)
    try:
        quantize_file(spec.file_pass, plain, quantized, context, keep=in_float)
    except UsageError:
        if not in_float:
            raise
        quantized.write_bytes(plain.read_bytes())  # it was the only one
    return run_chunks(load_model(context.scratch, runtime, inputs), arrays, size)


def _compressed(
    network: nn.Module, passes: Sequence[Pass], context: Context, tuned: Path | None, keep: _Kept | None
) -> nn.Module:
    module = network
    for one in passes:
        before, left_out = module, keep is not None and keep.kind == one.kind
        if left_out and keep is not None and isinstance(one, ChannelPruning):
            # Layers that share its channels keep theirs too.
            name = keep.layer.removeprefix("network.")
            whole = one.model_copy(update={"layers": {**one.layers, name: 1.0}})
            try:
                module, _ = apply_passes(before, (whole,), example=context.example())
            except UsageError:
                module = copy.deepcopy(before)  # it was the only one
            continue
        module, _ = apply_passes(before, (one,), example=context.example(), weights=tuned)
        if left_out and keep is not None:
            module.set_submodule(keep.layer, copy.deepcopy(before.get_submodule(keep.layer)))
    return module.eval()
