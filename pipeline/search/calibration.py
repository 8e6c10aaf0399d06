"""Finds how one network is best quantized to static int8: how ranges are measured, and which layers stay in float."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import onnx

from pipeline._handlers.model_file import load_model, run_chunks
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import folder_of, quantize_file, runtime_of
from pipeline.candidates.spec import CandidateSpec
from pipeline.candidates.tune import training_inputs
from pipeline.compress.onnx_static import OPERATORS, is_preprocessing
from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.kept import read_kept, write_kept
from pipeline.engine.stage import report_status
from pipeline.errors import ProofError, UsageError
from pipeline.inspection.graph import module_name
from pipeline.recipe.passes import RangeMethod, StaticInt8
from pipeline.search.comparison import SpeedComparison

# Largest number of training examples that settings are compared on. Where the split is large enough, ranges were
# measured on none of them.
_EXAMPLES = 2000
_BATCH = 128
# Share of a network's decisions that int8 may change before a layer stays in float. Most changed decisions are near
# ties, which are as often right before as after, and 0.5 % of all decisions cost about 0.1 points.
_CHANGED = 0.005


@dataclass(frozen=True, kw_only=True)
class CalibratedSettings:
    """Settings of static int8, and how far the network answers from float with them.

    Args:
        settings: settings of the pass.
        changed: share of the examples that get another decision, as a fraction.
        divergence: divergence of the answers from float, in the task's unit.
    """

    settings: StaticInt8
    changed: float
    divergence: float


def best_static_int8(network: CandidateSpec, context: Context, comparison: SpeedComparison) -> StaticInt8:
    """Find the settings with which int8 answers most like the network in float, by training examples alone.

    The first convolution, or all of them, stay in float where that is better by the search's goal. Convolutions of few
    channels gain less by int8 than they lose by the quantizing in front of them and by a slower layout. The settings
    that an interrupted run found are kept.

    Args:
        network: an ONNX candidate in float, made and proven already.
        context: what it is made from; its file lies in the scratch folder.
        comparison: decides which file is better by the search's goal.

    Raises:
        UsageError: the network has no layer to quantize.
    """
    folder = context.scratch / f"int8-{network.variant}-{network.identity[:16]}"
    finished = folder.with_name(f"{folder.name}.kept")
    content = read_kept(finished, context.reporter.log)
    if content is None:
        shutil.rmtree(folder, ignore_errors=True)  # an interrupted run may have left half-written files there
        folder.mkdir()
        runtime = runtime_of(network, context)
        source = folder_of(network, context)
        inputs = training_inputs(context, _EXAMPLES, skip=StaticInt8().examples)
        count, activation = len(next(iter(inputs.values()))), context.model.outputs_are
        expected = run_chunks(load_model(source, runtime, context.model.inputs), inputs, _BATCH)

        def measure(settings: StaticInt8) -> CalibratedSettings:
            quantize_file(settings, source / runtime.file, folder / runtime.file, context)
            answers = run_chunks(load_model(folder, runtime, context.model.inputs), inputs, _BATCH)
            return CalibratedSettings(
                settings=settings,
                changed=float(context.task.disagreements(answers, expected, activation=activation).mean()),
                divergence=context.task.divergence(expected, answers, activation=activation),
            )

        def folder_for(settings: StaticInt8) -> Path:
            place = folder / digest_bytes(settings.model_dump_json().encode())
            if not (place / runtime.file).exists():
                place.mkdir(exist_ok=True)
                quantize_file(settings, source / runtime.file, place / runtime.file, context)
            return place

        def gains(candidate: StaticInt8, rival: StaticInt8) -> bool:
            try:
                return comparison.file_gains(folder_for(candidate), folder_for(rival), runtime)
            except (UsageError, ProofError):
                return False  # it cannot be made, for example because nothing would be left in int8

        kinds = _kinds(source / runtime.file)
        best = with_float_convolutions(closest(list(kinds), measure), kinds, measure, gains)
        report_status(
            context.reporter,
            "step",
            f"int8 of {network.variant}: {best.settings.method} ranges"
            f"{', in float ' + ', '.join(best.settings.keep) if best.settings.keep else ''}: "
            f"{best.changed:.2%} of its decisions change on {count} training examples",
        )
        content = best.settings.model_dump_json().encode()
        write_kept(finished, content)
        shutil.rmtree(folder)
    return StaticInt8.model_validate_json(content)


def closest(layers: Sequence[str], measure: Callable[[StaticInt8], CalibratedSettings]) -> CalibratedSettings:
    """Find the range method whose answers are closest to float, and leave layers in float while too much changes.

    Layers are left in float one after the other, at most half of them, starting with the one that changes most.

    Args:
        layers: names of the modules that int8 converts.
        measure: function that measures settings.
    """
    best = min(
        (measure(StaticInt8(method=method)) for method in get_args(RangeMethod)), key=lambda result: result.divergence
    )
    while best.changed > _CHANGED and len(best.settings.keep) < len(layers) // 2:
        keep = best.settings.keep
        more = [
            measure(best.settings.model_copy(update={"keep": (*keep, layer)})) for layer in layers if layer not in keep
        ]
        better = min(more, key=lambda result: result.divergence)
        if better.changed >= best.changed:
            break
        best = better
    return best


def with_float_convolutions(
    best: CalibratedSettings,
    kinds: Mapping[str, str],
    measure: Callable[[StaticInt8], CalibratedSettings],
    gains: Callable[[StaticInt8, StaticInt8], bool],
) -> CalibratedSettings:
    """Return the same settings with the first convolution in float, or all of them, if that is certainly better.

    Args:
        best: the settings whose answers are closest to float.
        kinds: operators that int8 converts, by the names of their modules, in the graph's order.
        measure: function that measures settings.
        gains: function that says whether a file made with the first settings is better than one made with the others.
    """
    keep = best.settings.keep
    convolutions = tuple(name for name, operator in kinds.items() if operator == "Conv" and name not in keep)
    settings = best.settings
    for more in dict.fromkeys((convolutions[:1], convolutions)):
        mixed = best.settings.model_copy(update={"keep": (*keep, *more)})
        if more and set(kinds) - {*mixed.keep} and gains(mixed, settings):
            settings = mixed
    return best if settings == best.settings else measure(settings)


def _kinds(file: Path) -> dict[str, str]:
    """Return the operators of an ONNX file that int8 converts, by the names of their modules as users know them."""
    nodes = [node for node in onnx.load(file).graph.node if node.op_type in OPERATORS]
    kinds = {module_name(node): node.op_type for node in nodes}
    return {name.removeprefix("network."): kind for name, kind in kinds.items() if not is_preprocessing(name)}
