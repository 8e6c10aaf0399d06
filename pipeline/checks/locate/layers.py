"""Where parity failed: the first module whose output differs, in the user's own names.

A TorchScript file is heard by torch's dispatcher, operator by operator, as the module is; an ONNX file gives its
intermediate values as outputs, and says in its metadata which module each node came from. Both sequences are aligned
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

# Values of this many bytes are kept at a time, on each side.
_WINDOW_BYTES = 64 << 20
# Inside a network, a value may be off by this share of itself, and by the share of the largest one that the answers may
# be off of their spread: values near zero are sums that cancel among large ones, and their rounding follows those (some
# 1e-7 of them per sum, a few sums deep; 1e-5 is allowed of float).
_INSIDE_RELATIVE = 1e-4
# Operators that change nothing in evaluation mode; exporters leave them out.
_IDENTITIES = ("dropout", "alpha_dropout", "feature_dropout", "detach", "alias", "contiguous")


@dataclass(frozen=True, kw_only=True)
class LayerFinding:
    """Where two runs of a network part.

    Args:
        layer: name and class of the first module whose output differs; empty if none was found.
        comparison: of its output; None if none was found.
        constants: names of its weights and other constants that differ themselves.
        note: under which circumstances, or why no layer was found; may be empty.
        before: name and class of the last module that agrees; empty if nothing was compared before it.
    """

    layer: str = ""
    comparison: Comparison | None = None
    constants: tuple[str, ...] = ()
    note: str = ""
    before: str = ""

    @property
    def text(self) -> str:
        """One clause, for a message."""
        if not self.layer or self.comparison is None:
            return self.note
        one = self.comparison
        apart = abs(one.found - one.expected)
        parts = [
            f"{self.layer}: {apart:.2g} apart, limit {one.limit:.2g}"
            if np.isfinite(apart)
            else f"{self.layer}: {one.reason}",
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
        """As JSON values."""
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
        file: the file. It is run here, so its digest is known by now.
        runtime: how it is served.
        module: what was exported: raw inputs positional in, logits out; in evaluation mode.
        inputs: in the order the module takes them.
        arrays: one batch (B, *shape) by input name, on which the answers differ.
        tolerance: of the answers.
    """
    with one_thread():
        reference = _module_trace(module, inputs, arrays)
        saved = load_model(file.parent, replace(runtime, file=file.name, optimization="none"), inputs)
        found = TorchTrace(lambda: saved(arrays), warm_up=RUNTIMES["torchscript"].settled_call - 1)
        pairs = _pairs_by_operator(reference.steps, found.steps)
        difference = _first_difference(reference, found, pairs, tolerance)
        if difference is not None:
            return _torchscript_finding(module, reference, found, pairs, difference)
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

    The file is compared with the module, or the original, without graph optimizations first; if they agree, with
    itself, optimized.

    Args:
        file: the file.
        runtime: how it is served.
        module: what was exported; none for a quantized file, whose source is the same file without optimizations.
        inputs: in the order the module takes them.
        arrays: one batch (B, *shape) by input name, on which the answers differ.
        tolerance: of the answers.
        original: the file as it was made, for a quantized one that was altered since.
    """
    plain = OnnxTrace(file, arrays)
    if original is not None:
        made = OnnxTrace(original, arrays)
        pairs = align([one.module for one in made.steps], [one.module for one in plain.steps])
        difference = _first_difference(made, plain, pairs, tolerance)
        if difference is not None:
            one, other = pairs[difference[0]]
            changed = differing_constants(made.constants(one), plain.constants(other))
            names = tuple(name.removeprefix(f"{made.steps[one].module}.") for name in changed)
            return _finding(made.steps, pairs, difference, names, "")
    if module is not None:
        with one_thread():
            reference = ByModule(_module_trace(module, inputs, arrays))
            pairs = align([one.module for one in reference.steps], [one.module for one in plain.steps])
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
    reference: Trace, found: Trace, *, pairs: Sequence[tuple[int, int]], tolerance: Tolerance
) -> LayerFinding:
    """Find the first module at which two runs of one network part.

    Args:
        reference: of the one run.
        found: of the other.
        pairs: positions of the same step in both.
        tolerance: of the answers.
    """
    difference = _first_difference(reference, found, pairs, tolerance)
    if difference is None:
        return _nothing_found(reference)
    return _finding(reference.steps, pairs, difference, (), "")


def label(step: Step) -> str:
    """A module as its user knows it: the name inside the network, and the class."""
    name = step.module.removeprefix("network.") or "the whole"
    if name == "preprocess" or name.startswith("preprocess."):
        name = "preprocess"
    return f"{name} ({step.kind})" if step.kind else name


def _module_trace(module: nn.Module, inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> TorchTrace:
    answer = module_reference(module, inputs).answer
    return TorchTrace(lambda: answer(arrays), module=module)


def _pairs_by_operator(reference: Sequence[Step], found: Sequence[Step]) -> list[tuple[int, int]]:
    """Align by operator, shape and type; a convolution or product that took in a batch norm answers for both."""
    keys = [[(one.operator.rstrip("_"), one.shape, one.dtype) for one in steps] for steps in (reference, found)]
    pairs = align(*keys)
    matched = {one for one, _ in pairs}
    moved = []
    for one, other in pairs:
        after = one + 1
        folded = (
            after < len(reference)
            and after not in matched
            and "batch_norm" in reference[after].operator
            and reference[after].shape == reference[one].shape
        )
        moved.append((after, other) if folded else (one, other))
    return moved


def _first_difference(
    reference: Trace, found: Trace, pairs: Sequence[tuple[int, int]], tolerance: Tolerance
) -> tuple[int, Comparison] | None:
    """Number of the first pair that differs, and the comparison."""
    inside = _inside(tolerance)
    for window in _windows(pairs, reference.steps, found.steps):
        expected = reference.outputs({pairs[number][0] for number in window})
        answers = found.outputs({pairs[number][1] for number in window})
        for number in window:
            one, other = expected[pairs[number][0]], answers[pairs[number][1]]
            # Another shape or type is another layout, not another answer: the logits' own were compared before.
            if one.shape == other.shape and one.dtype == other.dtype and one.size:
                comparison = compare(*_finite_where_both_are_not(one, other), inside)
                if not comparison.passed:
                    return number, comparison
    return None


def _inside(tolerance: Tolerance) -> Tolerance:
    """How far values inside a network may be, whatever their unit, where its answers may be so far."""
    rounding = tolerance.absolute / tolerance.usual_spread if tolerance.usual_spread else 0.0
    # Values around zero spread over twice the largest of them.
    return Tolerance(relative=_INSIDE_RELATIVE, steps=2 * 255 * (tolerance.spread + rounding))


def _windows(pairs: Sequence[tuple[int, int]], reference: Sequence[Step], found: Sequence[Step]) -> Iterator[list[int]]:
    """Numbers of pairs whose values fit into memory together."""
    window: list[int] = []
    held = 0
    for number, (one, other) in enumerate(pairs):
        size = max(reference[one].bytes, found[other].bytes)
        if window and held + size > _WINDOW_BYTES:
            yield window
            window, held = [], 0
        window.append(number)
        held += size
    if window:
        yield window


def _finite_where_both_are_not(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inside a network, infinity may be meant, as in the mask of an attention."""
    if one.dtype.kind != "f" or (np.isfinite(one).all() and np.isfinite(other).all()):
        return one, other
    same = ~np.isfinite(one) & ((one == other) | (np.isnan(one) & np.isnan(other)))
    return np.where(same, 0, one).astype(one.dtype), np.where(same, 0, other).astype(other.dtype)


def _torchscript_finding(
    module: nn.Module,
    reference: TorchTrace,
    found: TorchTrace,
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
) -> LayerFinding:
    one, other = pairs[difference[0]]
    skipped = _skipped(reference.steps, pairs, difference[0])
    given = {place.place: place.value for place in found.given(other)}
    if _is_fold(reference.steps, skipped, one):
        expected = folded_constants(module, skipped[0].module, reference.steps[one].module)
        constants = differing_constants(expected, {"weight": given.get((1,)), "bias": given.get((2,))}, exact=False)
    else:
        named = [place for place in reference.given(one) if place.name]
        constants = differing_constants(
            {place.name: place.value for place in named}, {place.name: given.get(place.place) for place in named}
        )
    return _finding(reference.steps, pairs, difference, constants, "")


def _onnx_finding(
    module: nn.Module,
    reference: ByModule,
    found: OnnxTrace,
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
) -> LayerFinding:
    one, other = pairs[difference[0]]
    skipped = _skipped(reference.steps, pairs, difference[0])
    stored = found.constants(other)
    name = reference.steps[one].module
    if _is_fold(reference.steps, skipped, one):
        expected = folded_constants(module, skipped[0].module, name)
        kernels, vectors = ([a for a in stored.values() if (a.ndim > 1) is many] for many in (True, False))
        parts = {"weight": next(iter(kernels), None), "bias": next(iter(vectors), None)}
        constants = differing_constants(expected, parts, exact=False)
    else:
        own = named_constants(module, name)
        constants = differing_constants(own, {one: stored.get(f"{name}.{one}" if name else one) for one in own})
    return _finding(reference.steps, pairs, difference, constants, "")


def _skipped(steps: Sequence[Step], pairs: Sequence[tuple[int, int]], number: int) -> list[Step]:
    """Steps of the reference without a counterpart, between the last one that agrees and the one that differs."""
    one = pairs[number][0]
    last = pairs[number - 1][0] if number else -1
    skipped = [step for step in steps[last + 1 : one] if step.operator not in _IDENTITIES]
    return [step for step in skipped if step.module != steps[one].module]


def _is_fold(steps: Sequence[Step], skipped: Sequence[Step], one: int) -> bool:
    return len(skipped) == 1 and "batch_norm" in steps[one].operator


def _finding(
    steps: Sequence[Step],
    pairs: Sequence[tuple[int, int]],
    difference: tuple[int, Comparison],
    constants: tuple[str, ...],
    note: str,
) -> LayerFinding:
    number, comparison = difference
    one = pairs[number][0]
    skipped = _skipped(steps, pairs, number)
    layer = label(steps[one])
    agreed = [label(steps[place]) for place, _ in pairs[:number]]
    # A layer of several operators may agree in the first of them.
    before = next((name for name in reversed(agreed) if name != layer), "")
    if _is_fold(steps, skipped, one):
        layer = f"{label(skipped[0])} with {layer} folded into it"
        constants = tuple(f"folded {name}" for name in constants)
    elif skipped:
        layer = f"between {before or 'the inputs'} and {layer}"
    return LayerFinding(layer=layer, comparison=comparison, constants=constants, note=note, before=before)


def _nothing_found(reference: Trace) -> LayerFinding:
    """Say where the network itself has no answer, if that is it."""
    for window in _windows([(one, one) for one in range(len(reference.steps))], reference.steps, reference.steps):
        values = reference.outputs(set(window))
        for place in window:
            if values[place].dtype.kind == "f" and np.isnan(values[place]).any():
                return LayerFinding(note=f"{label(reference.steps[place])} of the network itself answers NaN")
    return LayerFinding(note="no layer by itself is beyond its limit: small differences add up")


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)
