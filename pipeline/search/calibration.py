"""How one network is best quantized on scales: what its ranges follow from, and which layers should stay in float."""

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
from pipeline.errors import ProofError, UsageError
from pipeline.inspection.graph import module_name
from pipeline.recipe.passes import RangeMethod, StaticInt8
from pipeline.search.comparison import SpeedComparison

# Most training examples that settings are compared on; where there are enough, none that ranges were measured on.
_EXAMPLES = 2000
_BATCH = 128
# Share of a network's decisions that int8 may change before a layer stays in float for them. Most of those are near
# ties, as often right before as after, and 0.5 % of all cost about 0.1 points.
_CHANGED = 0.005


@dataclass(frozen=True, kw_only=True)
class CalibratedSettings:
    """Settings of static int8, and how far from the same network in float they lead.

    Args:
        settings: of the pass.
        changed: share of the examples that get another decision.
        divergence: of the answers, in the task's unit.
    """

    settings: StaticInt8
    changed: float
    divergence: float


def best_static_int8(network: CandidateSpec, context: Context, comparison: SpeedComparison) -> StaticInt8:
    """The settings under which int8 answers most like the network in float, by training examples alone.

    Convolutions stay in float where that is better in what is searched for: the first one, or all of them. Those of few
    channels gain less by int8 than quantizing in front of them, and a slower layout, cost. An interrupted run's finding
    is kept.

    Args:
        network: an ONNX candidate in float, made and proven already.
        context: what it is made from; its file lies in the scratch folder.
        comparison: says which file is better in what is searched for.

    Raises:
        UsageError: the network has no layer to quantize.
    """
    folder = context.scratch / f"int8-{network.variant}-{network.identity[:16]}"
    finished = folder.with_name(f"{folder.name}.kept")
    content = read_kept(finished, context.reporter.log)
    if content is None:
        shutil.rmtree(folder, ignore_errors=True)  # an interrupted run may have left half-written files there
        folder.mkdir()
        runtime = runtime_of(network)
        source = folder_of(network, context)
        inputs = training_inputs(context, _EXAMPLES, skip=StaticInt8().examples)
        count = len(next(iter(inputs.values())))
        expected = run_chunks(load_model(source, runtime, context.model.inputs), inputs, _BATCH)

        def measure(settings: StaticInt8) -> CalibratedSettings:
            quantize_file(settings, source / runtime.file, folder / runtime.file, context)
            answers = run_chunks(load_model(folder, runtime, context.model.inputs), inputs, _BATCH)
            return CalibratedSettings(
                settings=settings,
                changed=float(context.task.disagreements(answers, expected).mean()),
                divergence=context.task.divergence(expected, answers, activation=context.model.outputs_are),
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
                return False  # such as one that would leave nothing in int8

        kinds = _kinds(source / runtime.file)
        best = with_float_convolutions(closest(list(kinds), measure), kinds, measure, gains)
        context.reporter.log(
            f"int8 of {network.variant}: {best.settings.method} ranges"
            f"{', in float ' + ', '.join(best.settings.keep) if best.settings.keep else ''}: "
            f"{best.changed:.2%} of its decisions change on {count} training examples"
        )
        content = best.settings.model_dump_json().encode()
        write_kept(finished, content)
        shutil.rmtree(folder)
    return StaticInt8.model_validate_json(content)


def closest(layers: Sequence[str], measure: Callable[[StaticInt8], CalibratedSettings]) -> CalibratedSettings:
    """The ranges that lead least far from float, and layers left in float while too much changes.

    One layer after the other, the one that does most of it first, at most half of them.

    Args:
        layers: names of the modules that int8 touches.
        measure: measures settings.
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
    """The same settings with the first convolution in float, or all of them, if that is certainly better.

    Args:
        best: the settings that lead least far from float.
        kinds: operators by the names of their modules, of all that int8 touches, in the graph's order.
        measure: measures settings.
        gains: whether a file made with the first settings is better than one made with the others.
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
    """Operators of an ONNX file that int8 touches, by the names of their modules as their user knows them."""
    nodes = [node for node in onnx.load(file).graph.node if node.op_type in OPERATORS]
    kinds = {module_name(node): node.op_type for node in nodes}
    return {name.removeprefix("network."): kind for name, kind in kinds.items() if not is_preprocessing(name)}
