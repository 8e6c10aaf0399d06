"""Find the first module whose output differs after parity failed, and name it as the user does.

Torch's dispatcher reports the operators of a TorchScript file one by one, as it does for the module. An ONNX file gives
its intermediate values as outputs, and its metadata say which module each node came from. Both sequences are aligned
(an exporter leaves out dropout and folds batch norm), and compared in order, a few values at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline._handlers.compare import Comparison, compare
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline._handlers.runtimes import RUNTIMES
from pipeline._handlers.tolerance import Tolerance
from pipeline.checks.locate.align import align
from pipeline.checks.locate.constants import differing_constants, folded_constants, named_constants
from pipeline.checks.locate.onnx_trace import OnnxTrace
from pipeline.checks.locate.trace import ByModule, Step, TorchTrace, Trace
from pipeline.checks.reference import module_reference
from pipeline.engine.threads import one_thread

# Each side keeps values of this many bytes at a time.
_WINDOW_BYTES = 64 << 20
# Inside a network, a value may be off by this share of itself. It may also be off by a share of the largest value: the
# same share that the answers may be off of their spread. Values near zero are sums in which large values cancel, and
# their rounding follows the large values (some 1e-7 of them per sum, a few sums deep; 1e-5 is allowed of float).
_INSIDE_RELATIVE = 1e-4
# These operators change nothing in evaluation mode, and exporters leave them out.
_IDENTITIES = ("dropout", "alpha_dropout", "feature_dropout", "detach", "alias", "contiguous")


@dataclass(frozen=True, kw_only=True)
class LayerFinding:
    """The place where two runs of a network begin to differ.

    Args:
        layer: name and class of the first module whose output differs; empty if there is none.
        comparison: comparison of its output; None if there is no such module.
        constants: names of its weights and other constants that differ themselves.
        note: circumstances of the difference, or the reason why no layer was found; may be empty.
        before: name and class of the last module that agrees; empty if nothing was compared before it.
    """

    layer: str = ""
    comparison: Comparison | None = None
    constants: tuple[str, ...] = ()
    note: str = ""
    before: str = ""

    @property
    def text(self) -> str:
        """The finding as one clause for a message."""
        if not self.layer or self.comparison is None:
            return self.note
        comparison = self.comparison
        apart = abs(comparison.found - comparison.expected)
        parts = [
            f"{self.layer}: {apart:.2g} apart, limit {comparison.limit:.2g}"
            if np.isfinite(apart)
            else f"{self.layer}: {comparison.reason}",
            *([self.note] if self.note else []),
            *(
                [f"its {_and(self.constants)} differ{'s' if len(self.constants) == 1 else ''}"]
                if self.constants
                else []
            ),
            "everything before it agrees" if self.before else "nothing comes before it",
        ]
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {
            "layer": self.layer,
            "comparison": self.comparison and self.comparison.to_json(),
            "constants": list(self.constants),
            "note": self.note,
            "before": self.before,
        }


def locate_torchscript(
    file: Path,
    *,
    runtime: RuntimeSpec,
    module: nn.Module,
    inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
) -> LayerFinding:
    """Find the first module of a network whose output differs in a TorchScript file.

    Args:
        file: TorchScript file; it runs in this process, so its digest has been checked before.
        runtime: settings with which the file is served.
        module: exported module in evaluation mode, which maps positional raw inputs to logits.
        inputs: specs of the inputs, in the order the module takes them.
        arrays: one batch (B, *shape) by input name, on which the answers differ.
        tolerance: tolerance of the answers.
    """
    with one_thread():
        reference = _module_trace(module, inputs, arrays)
        saved = load_model(file.parent, replace(runtime, file=file.name, optimization="none"), inputs)
        candidate = TorchTrace(lambda: saved(arrays), warm_up=RUNTIMES["torchscript"].settled_call - 1)
        pairs = _pairs_by_operator(reference.steps, candidate.steps)
        difference = _first_difference(reference, candidate, pairs, tolerance)
        if difference is not None:
            return _torchscript_finding(module, reference, candidate, pairs, difference)
        logits = module_reference(module, inputs).answer(arrays)
        if compare(logits, saved(arrays), tolerance).passed:
            return LayerFinding(
                note="as it was saved, every layer agrees: it differs only once optimised for inference, where layers "
                "are fused"
            )
        return _nothing_found(reference)


def locate_onnx(
    file: Path,
    *,
    runtime: RuntimeSpec,
    module: nn.Module | None,
    inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
    original: Path | None = None,
) -> LayerFinding:
    """Find the first module of a network whose output differs in an ONNX file.

    The file, without graph optimizations, is first compared with the module or the original. If they agree, it is
    compared with itself, optimized.

    Args:
        file: ONNX file.
        runtime: settings with which the file is served.
        module: exported module; None for a quantized file, whose source is the same file without optimizations.
        inputs: specs of the inputs, in the order the module takes them.
        arrays: one batch (B, *shape) by input name, on which the answers differ.
        tolerance: tolerance of the answers.
        original: file as the build wrote it, for a quantized file that was altered since.
    """
    plain = OnnxTrace(file, arrays)
    if original is not None:
        source = OnnxTrace(original, arrays)
        pairs = align([step.module for step in source.steps], [step.module for step in plain.steps])
        difference = _first_difference(source, plain, pairs, tolerance)
        if difference is not None:
            source_step, plain_step = pairs[difference[0]]
            changed = differing_constants(source.constants(source_step), plain.constants(plain_step))
            names = tuple(name.removeprefix(f"{source.steps[source_step].module}.") for name in changed)
            return _finding(source.steps, pairs, difference, names, "")
    if module is not None:
        with one_thread():
            reference = ByModule(_module_trace(module, inputs, arrays))
            pairs = align([step.module for step in reference.steps], [step.module for step in plain.steps])
            difference = _first_difference(reference, plain, pairs, tolerance)
            if difference is not None:
                return _onnx_finding(module, reference, plain, pairs, difference)
            logits = module_reference(module, inputs).answer(arrays)
            if not compare(logits, plain.logits(), tolerance).passed or runtime.optimization == "none":
                return _nothing_found(reference)
    optimized = OnnxTrace(file, arrays, optimization="all")
    pairs = [(step, step) for step in range(len(plain.steps))]
    difference = _first_difference(plain, optimized, pairs, tolerance)
    note = "only with graph optimizations on"
    if difference is not None:
        return _finding(plain.steps, pairs, difference, (), note)
    return LayerFinding(note=f"{note}, and only where layers are fused: asked for by itself, each layer agrees")


def locate_between(
    reference: Trace, candidate: Trace, *, pairs: Sequence[tuple[int, int]], tolerance: Tolerance
) -> LayerFinding:
    """Find the first module at which two runs of one network part.

    Args:
        reference: trace of the run that is right.
        candidate: trace of the run that is compared with it.
        pairs: positions of the same step in both.
        tolerance: tolerance of the answers.
    """
    difference = _first_difference(reference, candidate, pairs, tolerance)
    if difference is None:
        return _nothing_found(reference)
    return _finding(reference.steps, pairs, difference, (), "")


def label(step: Step) -> str:
    """The name of a module as its user knows it: its name inside the network, and its class."""
    name = step.module.removeprefix("network.") or "the whole"
    if name == "preprocess" or name.startswith("preprocess."):
        name = "preprocess"
    return f"{name} ({step.kind})" if step.kind else name


def _module_trace(module: nn.Module, inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> TorchTrace:
    answer = module_reference(module, inputs).answer
    return TorchTrace(lambda: answer(arrays), module=module)


def _pairs_by_operator(reference: Sequence[Step], candidate: Sequence[Step]) -> list[tuple[int, int]]:
    """Align by operator, shape and type; a convolution or product with a folded batch norm is paired with that norm."""
    keys = [[(step.operator.rstrip("_"), step.shape, step.dtype) for step in steps] for steps in (reference, candidate)]
    pairs = align(*keys)
    matched = {position for position, _ in pairs}
    moved = []
    for position, counterpart in pairs:
        after = position + 1
        folded = (
            after < len(reference)
            and after not in matched
            and "batch_norm" in reference[after].operator
            and reference[after].shape == reference[position].shape
        )
        moved.append((after, counterpart) if folded else (position, counterpart))
    return moved


def _first_difference(
    reference: Trace, candidate: Trace, pairs: Sequence[tuple[int, int]], tolerance: Tolerance
) -> tuple[int, Comparison] | None:
    """The number of the first pair that differs, and the comparison of its values."""
    inside = _inside(tolerance)
    for window in _windows(pairs, reference.steps, candidate.steps):
        expected = reference.outputs({pairs[number][0] for number in window})
        answers = candidate.outputs({pairs[number][1] for number in window})
        for number in window:
            expected_values, values = expected[pairs[number][0]], answers[pairs[number][1]]
            # Another shape or type is another layout, not another answer. Those of the logits were compared before.
            if expected_values.shape == values.shape and expected_values.dtype == values.dtype and expected_values.size:
                comparison = compare(*_finite_where_both_are_not(expected_values, values), inside)
                if not comparison.passed:
                    return number, comparison
    return None


def _inside(tolerance: Tolerance) -> Tolerance:
    """The tolerance of values inside a network, whatever their unit, that belongs to a tolerance of its answers."""
    # A value inside may belong to any of several outputs.
    limits = [(limit.absolute, limit.usual_spread) for limit in tolerance.outputs]
    limits.append((tolerance.absolute, tolerance.usual_spread))
    rounding = max((absolute / spread for absolute, spread in limits if spread), default=0.0)
    # Values around zero spread over twice the largest one.
    return Tolerance(relative=_INSIDE_RELATIVE, steps=2 * 255 * (tolerance.spread + rounding))


def _windows(
    pairs: Sequence[tuple[int, int]], reference: Sequence[Step], candidate: Sequence[Step]
) -> Iterator[list[int]]:
    """Yield the numbers of pairs whose values fit into memory together."""
    window: list[int] = []
    held = 0
    for number, (position, counterpart) in enumerate(pairs):
        size = max(reference[position].bytes, candidate[counterpart].bytes)
        if window and held + size > _WINDOW_BYTES:
            yield window
            window, held = [], 0
        window.append(number)
        held += size
    if window:
        yield window


def _finite_where_both_are_not(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Set equal values that are not finite to zero: an attention mask may hold infinity on purpose."""
    if first.dtype.kind != "f" or (np.isfinite(first).all() and np.isfinite(second).all()):
        return first, second
    same = ~np.isfinite(first) & ((first == second) | (np.isnan(first) & np.isnan(second)))
    return np.where(same, 0, first).astype(first.dtype), np.where(same, 0, second).astype(second.dtype)


def _torchscript_finding(
    module: nn.Module,
    reference: TorchTrace,
    candidate: TorchTrace,
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
) -> LayerFinding:
    position, counterpart = pairs[difference[0]]
    skipped = _skipped_steps(reference.steps, pairs, difference[0])
    arguments = {place.place: place.value for place in candidate.given(counterpart)}
    if _is_fold(reference.steps, skipped, position):
        expected = folded_constants(module, skipped[0].module, reference.steps[position].module)
        constants = differing_constants(
            expected, {"weight": arguments.get((1,)), "bias": arguments.get((2,))}, exact=False
        )
    else:
        named = [place for place in reference.given(position) if place.name]
        constants = differing_constants(
            {place.name: place.value for place in named}, {place.name: arguments.get(place.place) for place in named}
        )
    return _finding(reference.steps, pairs, difference, constants, "")


def _onnx_finding(
    module: nn.Module,
    reference: ByModule,
    candidate: OnnxTrace,
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
) -> LayerFinding:
    position, counterpart = pairs[difference[0]]
    skipped = _skipped_steps(reference.steps, pairs, difference[0])
    stored = candidate.constants(counterpart)
    name = reference.steps[position].module
    if _is_fold(reference.steps, skipped, position):
        expected = folded_constants(module, skipped[0].module, name)
        kernels, vectors = ([a for a in stored.values() if (a.ndim > 1) is many] for many in (True, False))
        parts = {"weight": next(iter(kernels), None), "bias": next(iter(vectors), None)}
        constants = differing_constants(expected, parts, exact=False)
    else:
        own = named_constants(module, name)
        constants = differing_constants(
            own, {constant: stored.get(f"{name}.{constant}" if name else constant) for constant in own}
        )
    return _finding(reference.steps, pairs, difference, constants, "")


def _skipped_steps(steps: Sequence[Step], pairs: Sequence[tuple[int, int]], number: int) -> list[Step]:
    """The steps of the reference without a counterpart between the last step that agrees and the one that differs."""
    position = pairs[number][0]
    last = pairs[number - 1][0] if number else -1
    skipped = [step for step in steps[last + 1 : position] if step.operator not in _IDENTITIES]
    return [step for step in skipped if step.module != steps[position].module]


def _is_fold(steps: Sequence[Step], skipped: Sequence[Step], position: int) -> bool:
    return len(skipped) == 1 and "batch_norm" in steps[position].operator


def _finding(
    steps: Sequence[Step],
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
    constants: tuple[str, ...],
    note: str,
) -> LayerFinding:
    number, comparison = difference
    position = pairs[number][0]
    skipped = _skipped_steps(steps, pairs, number)
    layer = label(steps[position])
    agreed = [label(steps[place]) for place, _ in pairs[:number]]
    # A layer of several operators may agree in the first operator.
    before = next((name for name in reversed(agreed) if name != layer), "")
    if _is_fold(steps, skipped, position):
        layer = f"{label(skipped[0])} with {layer} folded into it"
        constants = tuple(f"folded {name}" for name in constants)
    elif skipped:
        layer = f"between {before or 'the inputs'} and {layer}"
    return LayerFinding(layer=layer, comparison=comparison, constants=constants, note=note, before=before)


def _nothing_found(reference: Trace) -> LayerFinding:
    """The finding where no layer differs; it says where the network itself answers NaN, if it does."""
    for window in _windows([(step, step) for step in range(len(reference.steps))], reference.steps, reference.steps):
        values = reference.outputs(set(window))
        for place in window:
            if values[place].dtype.kind == "f" and np.isnan(values[place]).any():
                return LayerFinding(note=f"{label(reference.steps[place])} of the network itself answers NaN")
    return LayerFinding(note="no layer by itself is beyond its limit: small differences add up")


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
