"""The answer of a network with outputs of its own to one instance: its tensors, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .json_text import compact_text
from .outputs import OutputSpec, shortest_digits, split_outputs

if TYPE_CHECKING:
    from .description import Serving

# No float32, written in JSON with the fewest digits that tell it from its neighbours, is longer than this one: below
# 1e16 Python writes no exponent.
_LONGEST = -6843686000000000.0
# A person is shown so many values of an output.
_SHOWN = 6


class OutputsAnswer:
    """Each output as nested lists, in its own shape."""

    contents = "outputs by name"

    def outputs(self, labels: Sequence[str]) -> str:
        """Say that a client gets a tensor for each output."""
        return f"{len(labels)} tensor{'s'[: len(labels) - 1]} by name"

    def check(self, settings: Mapping[str, Any], labels: Sequence[str]) -> None:
        """Accept any settings: they are for judging."""

    def write(self, serving: Serving, outputs: NDArray[np.float32]) -> list[str]:
        """Write the answers to instances, from outputs (N, K)."""
        return [compact_text(self.tell(serving, row)) for row in outputs]

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """Turn one instance's outputs, (K,), into the answer that a client gets."""
        arrays = split_outputs(shortest_digits(outputs)[np.newaxis], serving.outputs)
        return {"outputs": {name: values[0].tolist() for name, values in arrays.items()}}

    def tensors(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the outputs (N, *shape) by their own names."""
        return split_outputs(outputs, serving.outputs)

    def longest(self, serving: Serving) -> dict[str, Any]:
        """Return an answer with the numbers that take the most characters."""
        return {"outputs": {spec.name: np.full(spec.shape, _LONGEST).tolist() for spec in serving.outputs}}

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Read tensors by name from a server's JSON."""
        outputs = {str(name): np.asarray(values, dtype=np.float64) for name, values in document["outputs"].items()}
        return {"outputs": {name: values.tolist() for name, values in outputs.items()}}

    def difference(self, serving: Serving, outputs: NDArray[np.float32], answer: Mapping[str, Any]) -> str:
        """Say whether the answer has other names, shapes or values than these outputs."""
        expected = split_outputs(outputs[np.newaxis], serving.outputs)
        tensors = answer["outputs"]
        if list(tensors) != list(expected):
            return f"expected outputs {', '.join(expected)}, found {', '.join(tensors)}"
        for name, values in expected.items():
            found = np.asarray(tensors[name], dtype=np.float32)
            if found.shape != values.shape[1:]:
                return f"expected output {name} of shape {list(values.shape[1:])}, found {list(found.shape)}"
            if not np.array_equal(found, values[0]):
                place = [int(axis) for axis in np.argwhere(found != values[0])[0]]
                return (
                    f"expected {values[0][tuple(place)]:.6g} at {place} of output {name}, as the server's own outputs "
                    f"have it, found {found[tuple(place)]:.6g}"
                )
        return ""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Write the name, the shape and the first values of each output."""
        return "; ".join(f"{name} {_in_words(np.asarray(values))}" for name, values in answer["outputs"].items())

    def columns(self, serving: Serving) -> tuple[str, ...]:
        """Name a column for each value: the output's name, with the place of the value where there are several."""
        return tuple(f"{spec.name}{place}" for spec in serving.outputs for place in _places(spec))

    def cells(self, serving: Serving, outputs: NDArray[np.float32]) -> tuple[str | int | float | None, ...]:
        """Write all values one after the other."""
        tensors = self.tell(serving, outputs)["outputs"]
        return tuple(
            value
            for spec in serving.outputs
            for value in np.asarray(tensors[spec.name], dtype=np.float64).ravel().tolist()
        )


def _places(spec: OutputSpec) -> list[str]:
    places = np.stack(np.unravel_index(np.arange(spec.size), spec.shape or (1,)), axis=1).tolist()
    return [f"[{','.join(map(str, place))}]" if spec.shape else "" for place in places]


def _in_words(values: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values.ravel()[:_SHOWN])
    more = ", ..." if values.size > _SHOWN else ""
    return f"{list(values.shape)}: {shown}{more}" if values.ndim else shown
