"""Which layer costs a compressed network its accuracy: each layer in turn is left out, the others compressed."""

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
        kind: kind of the pass that leaves it out.
        accuracy: gain in the mean score, as a fraction.
        divergence: decrease of the divergence from float, in the task's unit; positive is closer to float.
    """

    layer: str
    kind: str
    accuracy: float
    divergence: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The layers of one candidate, starting with the one that would win back most.

    Args:
        candidate: name of the candidate.
        examples: number of validation examples that it was measured on.
        drop: accuracy lost against float on them, as a fraction.
        divergence: divergence from float on them, in the task's unit. For classification it is the mean
            Kullback-Leibler divergence, in nats.
        gains: gains per layer, sorted by accuracy, then by divergence.
        left_out: number of layers that were not tried for lack of time. They are those with the fewest weights.
    """

    candidate: str
    examples: int
    drop: float
    divergence: float
    gains: tuple[LayerGain, ...]
    left_out: int

    def to_json(self) -> dict[str, Any]:
        """Return the ranking as JSON values."""
        return asdict(self)


def rank_layers(
    spec: CandidateSpec, context: Context, validation: Split, *, tuned: Path | None, limit_s: float = 120.0
) -> Ranking:
    """Measure what each layer that a pass changed would win back if that pass left it out.

    Layers that were pruned before a fine-tune pass are not tried: with another structure the network would have to be
    trained again. Layers are not tried either in a number format in which all compute or none, such as bfloat16.

    Args:
        spec: a lossy candidate.
        context: what it was made from.
        validation: the examples to measure on; a few hundred will do.
        tuned: file of its fine-tuned weights; None without any.
        limit_s: time after which no further layer is tried, in seconds.
    """
    started = time.monotonic()
    network = context.deployable()
    arrays = {name: np.ascontiguousarray(values) for name, values in validation.inputs.items()}
    before = run_chunks(module_reference(network, context.model.inputs).answer, arrays, _BATCH)
    targets = validation.targets(context.task, before, activation=context.model.outputs_are)

    def judge(logits: NDArray[np.float32]) -> tuple[float, float]:
        """Return the mean score, and the divergence of the answers from those of float, in the task's unit."""
        activation = context.model.outputs_are
        accuracy = float(context.task.scores(logits, targets, activation=activation).mean())
        return accuracy, context.task.divergence(before, logits, activation=activation)

    accuracy, divergence = judge(_answers(spec, context, network, arrays, tuned))
    exclusions = sorted(_exclusions(spec, context, network, tuned), key=lambda exclusion: -exclusion.weights)
    gains: list[LayerGain] = []
    for exclusion in exclusions:
        if gains and time.monotonic() - started > limit_s:
            break
        right, distance = judge(_answers(spec, context, network, arrays, tuned, exclusion=exclusion))
        name = exclusion.layer.removeprefix("network.")
        gains.append(
            LayerGain(layer=name, kind=exclusion.kind, accuracy=right - accuracy, divergence=divergence - distance)
        )
    return Ranking(
        candidate=spec.name,
        examples=len(validation),
        drop=judge(before)[0] - accuracy,
        divergence=divergence,
        gains=tuple(sorted(gains, key=lambda gain: (-gain.accuracy, -gain.divergence))),
        left_out=len(exclusions) - len(gains),
    )


@dataclass(frozen=True, kw_only=True)
class _Exclusion:
    """A layer that one pass leaves out."""

    kind: str
    layer: str
    weights: int = 0


def _exclusions(spec: CandidateSpec, context: Context, network: nn.Module, tuned: Path | None) -> list[_Exclusion]:
    torch_passes = spec.passes if spec.file_pass is None else spec.float_passes
    compressed, reports = apply_passes(network, torch_passes, example=context.example(), weights=tuned)
    last = max((place for place, step in enumerate(torch_passes) if isinstance(step, FineTune)), default=-1)
    whole = {facts.made_by for facts in PRECISIONS.values() if not facts.by_layer}
    exclusions = [
        _Exclusion(kind=report.kind, layer=layer.name, weights=layer.weights)
        for report in reports[last + 1 :]
        if report.kind not in whole
        for layer in report.layers
        if layer.touched and (report.kind != ChannelPruning().kind or _narrower(layer.name, network, compressed))
    ]
    if spec.file_pass is not None and PRECISIONS[spec.precision].by_layer:
        kinds = (nn.Linear, _ConvNd) if PRECISIONS[spec.precision].converts_convolutions else (nn.Linear,)
        layers = {name: layer for name, layer in weighted_layers(compressed).items() if isinstance(layer, kinds)}
        exclusions += [
            _Exclusion(
                kind=spec.file_pass.kind, layer=name, weights=sum(weight.numel() for weight in weights_of(layer))
            )
            for name, layer in layers.items()
        ]
    return exclusions


def _narrower(layer: str, before: nn.Module, after: nn.Module) -> bool:
    """Return whether a layer lost channels of its own, and not only some of those it reads."""
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
    exclusion: _Exclusion | None = None,
) -> NDArray[np.float32]:
    """Return the logits of a candidate, as it would be with one layer left out of one pass."""
    # A candidate whose answers depend on the batch is served one example at a time.
    size = 1 if PRECISIONS[spec.precision].scales_per_call else _BATCH
    inputs = context.model.inputs
    if spec.file_pass is None:
        module = _compress(network, spec.passes, context, tuned, exclusion)
        return run_chunks(module_reference(module, inputs).answer, arrays, size)
    in_float = (exclusion.layer,) if exclusion is not None and exclusion.kind == spec.file_pass.kind else ()
    unpruned = f"{exclusion.kind}-{exclusion.layer}" if exclusion is not None and not in_float else "nothing"
    runtime = runtime_of(spec, context)
    plain, quantized = context.scratch / f"float-{spec.name}-without-{unpruned}.onnx", context.scratch / runtime.file
    if not plain.exists():
        module = _compress(network, spec.float_passes, context, tuned, exclusion)
        export_onnx(
            module,
            plain,
            inputs=inputs,
            outputs=context.model.outputs,
            example=context.example(),
            opset=context.opset,
        )
    try:
        quantize_file(spec.file_pass, plain, quantized, context, keep=in_float)
    except UsageError:
        if not in_float:
            raise
        quantized.write_bytes(plain.read_bytes())  # it was the only layer
    return run_chunks(load_model(context.scratch, runtime, inputs), arrays, size)


def _compress(
    network: nn.Module, passes: Sequence[Pass], context: Context, tuned: Path | None, exclusion: _Exclusion | None
) -> nn.Module:
    module = network
    for step in passes:
        before, left_out = module, exclusion is not None and exclusion.kind == step.kind
        if left_out and exclusion is not None and isinstance(step, ChannelPruning):
            # Layers that share its channels keep theirs too.
            name = exclusion.layer.removeprefix("network.")
            whole = step.model_copy(update={"layers": {**step.layers, name: 1.0}})
            try:
                module, _ = apply_passes(before, (whole,), example=context.example())
            except UsageError:
                module = copy.deepcopy(before)  # it was the only layer
            continue
        module, _ = apply_passes(before, (step,), example=context.example(), weights=tuned)
        if left_out and exclusion is not None:
            module.set_submodule(exclusion.layer, copy.deepcopy(before.get_submodule(exclusion.layer)))
    return module.eval()
