"""The named outputs of a network that gives tensors, and their place in the one array of its answers.

Inside the product the answers of every network are one float32 array (N, K). The columns are the outputs one after the
other, each flattened, in the order of their specifications.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .description_checks import MOST_SIZE, checked_counts, checked_line


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One output of a model; its values are float32.

    Args:
        name: the output's name in the graph and in answers.
        shape: shape of one example, without the batch axis; () for a number.

    Raises:
        ValueError: the name is no line of text, or a size is not positive.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        checked_line(self.name, f"output {self.name!a}: name")
        checked_counts(self.shape, f"output {self.name}: shape", most=MOST_SIZE)

    @property
    def size(self) -> int:
        """Return the number of its values in one example: its columns in the array of answers."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"name": self.name, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> OutputSpec:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing, unknown or wrong.
        """
        try:
            fields = dict(document)
            return cls(name=fields.pop("name"), shape=tuple(fields.pop("shape")), **fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"outputs: {type(error).__name__}: {error}") from error


def output_columns(outputs: Sequence[OutputSpec]) -> list[slice]:
    """Return the columns of each output in the array of answers (N, K), in order."""
    ends = np.cumsum([output.size for output in outputs]).tolist()
    return [slice(end - output.size, end) for end, output in zip(ends, outputs, strict=True)]


def split_outputs(answers: NDArray[Any], outputs: Sequence[OutputSpec]) -> dict[str, NDArray[Any]]:
    """Return each output (N, *shape), by name, from the array of answers (N, K)."""
    return {
        output.name: answers[:, columns].reshape(len(answers), *output.shape)
        for output, columns in zip(outputs, output_columns(outputs), strict=True)
    }


def join_outputs(arrays: Sequence[NDArray[Any]], outputs: Sequence[OutputSpec]) -> NDArray[np.float32]:
    """Return the array of answers (N, K).

    Args:
        arrays: what the model answered, one array (N, *shape) for each output.
        outputs: specifications of the outputs.

    Raises:
        ValueError: an array has another dtype or shape than its output; the text names it.
    """
    if len(arrays) != len(outputs):
        raise ValueError(f"expected {len(outputs)} outputs, found {len(arrays)}")
    rows = len(arrays[0]) if arrays[0].ndim else 0
    for array, output in zip(arrays, outputs, strict=True):
        if array.dtype != np.float32 or array.shape != (rows, *output.shape):
            raise ValueError(
                f"output {output.name}: expected float32 of shape {[rows, *output.shape]}, found {array.dtype} of "
                f"shape {list(array.shape)}"
            )
    flat: list[NDArray[np.float32]] = [array.reshape(rows, -1) for array in arrays]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)


def shortest_digits(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 values that JSON writes with the fewest digits that give the same float32 again.

    A person reads 151.2, not 151.1999969482422, and such a text takes half of the characters.
    """
    return values.astype(np.str_).astype(np.float64)


def checked_outputs(document: Any) -> tuple[OutputSpec, ...]:
    """Read the outputs in a description, whose names must differ.

    Raises:
        ValueError: the document is no list of outputs, or a name is there twice.
    """
    if not isinstance(document, (list, tuple)):
        raise ValueError(f"outputs: expected a list, found {type(document).__name__}")  # noqa: TRY004 - a description is at fault
    outputs = tuple(spec if isinstance(spec, OutputSpec) else OutputSpec.from_json(spec) for spec in document)
    names = [spec.name for spec in outputs]
    if len(set(names)) != len(names):
        raise ValueError(f"outputs: expected a name of its own for each, found {', '.join(names)}")
    return outputs
