"""The answer of a regression to one instance: a value for each output, with its name and its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .description_checks import checked_text
from .json_text import compact_text

if TYPE_CHECKING:
    from .description import Serving

# No float32, written in JSON with the fewest digits that tell it from its neighbours, is longer than this one: below
# 1e16 Python writes no exponent.
_LONGEST = -6843686000000000.0


class RegressionAnswer:
    """The values that the network computes, in the units of the training data."""

    contents = "values"

    def outputs(self, labels: Sequence[str]) -> str:
        """Say that a client gets a number for each output."""
        return f"{len(labels)} value{'s'[: len(labels) - 1]} with name and unit"

    def check(self, settings: Mapping[str, Any], labels: Sequence[str]) -> None:
        """Require no units, one for all outputs, or one for each."""
        listed = settings.get("units", [])
        if not isinstance(listed, (list, tuple)) or len(listed) not in (0, 1, len(labels)):
            raise ValueError(
                f"task_settings.units: expected a list of none, 1 or {len(labels)} units, found {ascii(listed)[:100]}"
            )
        for unit in listed:
            checked_text(unit, "task_settings.units")

    def write(self, serving: Serving, outputs: NDArray[np.float32]) -> list[str]:
        """Write the answers to instances, from outputs (N, K)."""
        return [compact_text(self.tell(serving, row)) for row in outputs]

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """Turn one instance's outputs, (K,), into the answer that a client gets."""
        # The fewest digits that give the same float32 again: a person reads 151.2, not 151.1999969482422.
        return _answer(serving, [float(str(value)) for value in outputs])

    def tensors(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        """Return the values (N, K), which are the network's own outputs."""
        return {"values": outputs}

    def longest(self, serving: Serving) -> dict[str, Any]:
        """Return an answer with the numbers that take the most characters."""
        return _answer(serving, [_LONGEST] * len(serving.labels))

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Read names, values and units from a server's JSON."""
        return {
            "values": [
                {
                    "name": str(entry["name"]),
                    "value": float(entry["value"]),
                    **({"unit": str(entry["unit"])} if "unit" in entry else {}),
                }
                for entry in document["values"]
            ]
        }

    def difference(self, serving: Serving, outputs: NDArray[np.float32], answer: Mapping[str, Any]) -> str:
        """Say whether the answer names or measures a value otherwise, or has another value than these outputs."""
        expected = self.tell(serving, outputs)["values"]
        if len(answer["values"]) != len(expected):
            return f"expected {len(expected)} values, found {len(answer['values'])}"
        for wanted, found in zip(expected, answer["values"], strict=True):
            for field in ("name", "unit"):
                if wanted.get(field) != found.get(field):
                    return f"expected {field} {wanted.get(field)} of a value, found {found.get(field)}"
            if np.float32(wanted["value"]) != np.float32(found["value"]):
                return (
                    f"expected value {wanted['value']:g} of {wanted['name']}, as the server's own outputs have it, "
                    f"found {found['value']:g}"
                )
        return ""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Write the values with their names and units."""
        return ", ".join(
            f"{entry['name']} {entry['value']:g}" + (f" {entry['unit']}" if "unit" in entry else "")
            for entry in answer["values"]
        )

    def columns(self, serving: Serving) -> tuple[str, ...]:
        """Name the outputs, with their units."""
        units = _units(serving)
        return tuple(f"{name} [{unit}]" if unit else name for name, unit in zip(serving.labels, units, strict=True))

    def cells(self, serving: Serving, outputs: NDArray[np.float32]) -> tuple[str | int | float | None, ...]:
        """Write the values."""
        return tuple(entry["value"] for entry in self.tell(serving, outputs)["values"])


def _units(serving: Serving) -> tuple[str, ...]:
    """Return the unit of each output, as `check` found them right; empty texts where there are none."""
    units = tuple(serving.task_settings.get("units", ())) or ("",)
    return units * len(serving.labels) if len(units) == 1 else units


def _answer(serving: Serving, values: Sequence[float]) -> dict[str, Any]:
    units = _units(serving)
    return {
        "values": [
            {"name": name, "value": value, **({"unit": unit} if unit else {})}
            for name, value, unit in zip(serving.labels, values, units, strict=True)
        ]
    }
