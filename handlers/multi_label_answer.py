"""The answer of a network with several labels to one instance: the labels that it gives, and the most probable ones."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .activation import label_probabilities
from .classification_answer import LONGEST_PROBABILITY, PROBABILITY_ERROR, read_class
from .description_checks import checked_number
from .json_text import compact_text

if TYPE_CHECKING:
    from .description import Serving

# Probability from which a label is given where the settings name none.
_THRESHOLD = (0.5,)


class MultiLabelAnswer:
    """The labels whose probability reaches their threshold, and the `top` most probable labels of all."""

    contents = "labels and probabilities"

    def outputs(self, labels: Sequence[str]) -> str:
        """Say that a client gets any number of the labels."""
        return f"any of {len(labels)} labels, with probabilities"

    def check(self, settings: Mapping[str, Any], labels: Sequence[str]) -> None:
        """Require one threshold, or one for each label."""
        listed = settings.get("threshold", _THRESHOLD)
        if not isinstance(listed, (list, tuple)) or len(listed) not in (1, len(labels)):
            raise ValueError(
                f"task_settings.threshold: expected a list of 1 or {len(labels)} numbers, found {ascii(listed)[:100]}"
            )
        for value in listed:
            checked_number(value, "task_settings.threshold", above=0.0, most=1.0)

    def write(self, serving: Serving, outputs: NDArray[np.float32]) -> list[str]:
        """Write the answers to instances, from outputs (N, K)."""
        return [compact_text(self.tell(serving, row)) for row in outputs]

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """Turn one instance's outputs, (K,), into the answer that a client gets; the most probable labels come first.

        The labels may be none. How many labels `top` holds does not depend on the thresholds.
        """
        shares = label_probabilities(outputs, serving.activation)
        reached = _reached(serving, shares)
        order: list[int] = np.argsort(-shares, kind="stable").tolist()
        entries = [
            {"label": serving.labels[index], "class_id": index, "probability": float(shares[index])} for index in order
        ]
        given = [entry for index, entry in zip(order, entries, strict=True) if reached[index]]
        return {"labels": given, "top": entries[: serving.top]}

    def tensors(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the logits (N, K), whether each label is given (N, K), and the probability of each (N, K)."""
        shares = label_probabilities(outputs, serving.activation)
        return {"logits": outputs, "given": _reached(serving, shares), "probability": shares}

    def longest(self, serving: Serving) -> dict[str, Any]:
        """Return an answer of all labels, with the probabilities that take the most characters."""
        entries = [
            {"label": label, "class_id": len(serving.labels), "probability": LONGEST_PROBABILITY}
            for label in serving.labels
        ]
        top = heapq.nlargest(serving.top, entries, key=lambda entry: len(json.dumps(entry["label"])))
        return {"labels": entries, "top": top}

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Read `labels` and `top` from a server's JSON."""
        return {field: [read_class(entry) for entry in document[field]] for field in ("labels", "top")}

    def difference(self, serving: Serving, outputs: NDArray[np.float32], answer: Mapping[str, Any]) -> str:
        """Say whether the answer has other labels than these outputs, or another probability of one."""
        expected = self.tell(serving, outputs)
        for field, words in (("labels", "labels"), ("top", "most probable labels")):
            wanted, found = (
                {entry["label"]: entry["probability"] for entry in side[field]} for side in (expected, answer)
            )
            if set(wanted) != set(found):
                return f"expected {words} {_listed(wanted)}, found {_listed(found)}"
            for label, probability in wanted.items():
                if not abs(found[label] - probability) <= PROBABILITY_ERROR:
                    return (
                        f"expected probability {probability:.6f} of {label}, as the server's own outputs have it with "
                        f"activation {serving.activation}, found {found[label]:.6f}"
                    )
        return ""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Write the labels with their probabilities, and behind them the most probable of the others."""
        given = {entry["label"] for entry in answer["labels"]}
        labels = ", ".join(_entry(entry) for entry in answer["labels"]) or "no label"
        others = ", ".join(_entry(entry) for entry in answer["top"] if entry["label"] not in given)
        return labels + (f" ({others})" if others else "")

    def columns(self, serving: Serving) -> tuple[str, ...]:
        """Name the labels that an example gets, in one cell, and the probability of each label."""
        return ("labels", *(f"probability {label}" for label in serving.labels))

    def cells(self, serving: Serving, outputs: NDArray[np.float32]) -> tuple[str | int | float | None, ...]:
        """Write the labels, joined by semicolons, and the probability of each label, given or not."""
        labels = ";".join(entry["label"] for entry in self.tell(serving, outputs)["labels"])
        return (labels, *label_probabilities(outputs, serving.activation).tolist())


def _reached(serving: Serving, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which probabilities (..., K) reach the threshold of their label; `check` found the thresholds right."""
    reached: NDArray[np.bool_] = shares >= np.asarray(serving.task_settings.get("threshold", _THRESHOLD), np.float64)
    return reached


def _entry(entry: Mapping[str, Any]) -> str:
    return f"{entry['label']} {entry['probability']:.4f}"


def _listed(labels: Mapping[str, float]) -> str:
    return ", ".join(sorted(labels)) or "none"
