"""Make examples of other sizes for inputs with free axes, and check that the float network answers them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.domain import occurring
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.sizes import SizeGroup, sizes_in_words
from pipeline.checks.determinism import require_determinism
from pipeline.checks.reference import module_reference
from pipeline.data.free_axis_sizes import declared, free_axes, resized, single_steps, size_plan, sizes_of
from pipeline.errors import ProofError, UsageError
from pipeline.models.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Sized:
    """Examples of other sizes, on which a file can be compared with its network.

    Args:
        groups: groups of examples; each group has one size, which is not the data's.
        left_out: reasons why a size proves nothing, by the sizes in words: the float network has no answer there.
        unfilled: sizes, in words, at which the first real examples hold only a value that never occurs.
    """

    groups: tuple[SizeGroup, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    unfilled: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Lines for people: at which sizes candidates are compared with the network, and at which they cannot be."""
        proven = f"held against the float network at {'; '.join(group.sizes for group in self.groups)}"
        unanswered = [
            f"{sizes} is left out: the float network {problem}; a request of that size is refused; declare "
            "dynamic_sizes of the input to say which sizes occur"
            for sizes, problem in self.left_out.items()
        ]
        unfilled = [
            f"{sizes} is left out: cut to it, the first examples hold one value alone, which never occurs, as the "
            "input says; declare dynamic_sizes of the input to say which sizes occur"
            for sizes in self.unfilled
        ]
        lines = [*([proven] if self.groups else []), *unanswered, *unfilled]
        return [f"other sizes: {line}" for line in lines]


def sized_examples(
    module: nn.Module,
    inputs: Sequence[InputSpec],
    arrays: Mapping[str, NDArray[Any]],
    *,
    outputs: Sequence[OutputSpec] = (),
) -> Sized:
    """Make examples of the smallest size of each free axis, of some sizes between, and of sizes above the data's.

    Args:
        module: float network behind its preprocessing, in evaluation mode.
        inputs: specs of the inputs, in the order the module takes them.
        arrays: real inputs (N, *shape) by input name; the first few are used.
        outputs: specs of the outputs; empty for one output (B, K).

    Returns:
        The examples; there are none where no axis is free.

    Raises:
        UsageError: the network has no answer at a size that was declared, or at no other size of a free axis.
        ProofError: at some size, its answer changes from call to call or depends on the rest of the batch.
    """
    sized = _answerable_sizes(module, inputs, arrays)
    for group in sized.groups:
        try:
            require_determinism(module, inputs, group.inputs, outputs=outputs)
        except ProofError as error:
            raise ProofError(f"with {group.sizes}: {error}") from error
    return sized


def require_free_axes(model: ModelSpec, network: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Stop before training where a network has no answer at other sizes of an axis that is declared free.

    Args:
        model: spec of the model that the network belongs to.
        network: network, trained or not; it is left as it is.
        arrays: real inputs (N, *shape) by input name; the first few are used.

    Raises:
        UsageError: the network has no answer at a size that was declared, or at no other size of a free axis.
    """
    if any(spec.dynamic_axes for spec in model.inputs):
        _answerable_sizes(model.deployable(copy.deepcopy(network).eval()), model.inputs, arrays)


def _answerable_sizes(module: nn.Module, inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> Sized:
    """Examples of those planned sizes at which the network has an answer, and the sizes that are left out."""
    shapes = {spec.name: arrays[spec.name].shape[1:] for spec in inputs}
    of_data = sizes_of(inputs, shapes)
    groups: dict[str, SizeGroup] = {}
    left_out: dict[str, str] = {}
    unfilled: dict[str, None] = {}  # a set that keeps the order
    varied: set[str] = set()
    last_problem: dict[str, str] = {}

    def attempt(sizes: Mapping[str, int]) -> None:
        batch = resized(arrays, inputs, sizes)
        words = sizes_in_words(batch, inputs)
        changed = {name for name, size in sizes.items() if size != of_data[name]}
        if words in groups or words in left_out or not changed:
            return
        occurs = np.logical_and.reduce([occurring(batch[spec.name], spec) for spec in inputs])
        if not occurs.any():
            unfilled[words] = None
            return
        rows = np.resize(np.flatnonzero(occurs), len(occurs))  # some rows repeat, so that all groups are as large
        batch = {name: values[rows] for name, values in batch.items()}
        problem = _problem(module, inputs, batch)
        if problem is None:
            groups[words] = SizeGroup(sizes=words, inputs=batch)
            varied.update(changed)
        elif all(declared(inputs, name) for name in changed):
            raise UsageError(
                "inputs: dynamic_sizes: expected a network that answers at every size it is declared to take, found "
                f"that at {words} it {problem}; narrow dynamic_sizes, or change the network"
            )
        else:
            left_out[words] = problem
            last_problem.update(dict.fromkeys(changed, f"at {words} it {problem}"))
            # An axis without declared sizes may be at fault. The declared sizes must work without changing that axis.
            attempt({name: size if declared(inputs, name) else of_data[name] for name, size in sizes.items()})

    for sizes in size_plan(inputs, shapes):
        attempt(sizes)
    for name, axis in free_axes(inputs).items():
        for sizes in single_steps(inputs, shapes, name) if name not in varied else ():
            attempt(sizes)
        if name in last_problem and name not in varied:
            raise UsageError(
                f"{axis}: dynamic_axes: expected a network that answers at other sizes than the data's "
                f"{of_data[name]}, found none: {last_problem[name]}; take the axis out of dynamic_axes, or declare in "
                "dynamic_sizes what it takes"
            )
    return Sized(groups=tuple(groups.values()), left_out=left_out, unfilled=tuple(unfilled))


def _problem(module: nn.Module, inputs: Sequence[InputSpec], batch: Mapping[str, NDArray[Any]]) -> str | None:
    """The reason why the network has no answer to a batch; None if it has an answer."""
    try:
        logits = module_reference(module, inputs).answer(batch)
    except Exception as error:  # noqa: BLE001 - a user's network raises whatever it likes
        return f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None if np.isfinite(logits).all() else "answered NaN or infinity"
