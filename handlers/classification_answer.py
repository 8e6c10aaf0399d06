"""The answer of a classifier to one instance: the most probable classes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .activation import probabilities, row_probabilities

if TYPE_CHECKING:
    from .description import Serving

# No float64 between 0 and 1 is written longer than this one.
LONGEST_PROBABILITY = 2.2250738585072014e-308
# The limit can be small: server and client compute in float64 from the same outputs, which are sent exactly.
PROBABILITY_ERROR = 1e-6
# One row of at most so many classes is ordered in less time as a list than as an array.
_FEW_CLASSES = 32
# So many probabilities are in memory together: those of 1024 instances may be millions.
_MOST_VALUES = 1 << 16
# Fields of one class in an answer.
_CLASS_FIELDS = ("label", "class_id", "probability")


class ClassificationAnswer:
    """Label, class index and probability of the most probable class, and of `top` of them."""

    contents = "label and probabilities"

    def outputs(self, labels: Sequence[str]) -> str:
        """Say that a client gets one of the labels."""
        return f"one of {len(labels)} labels, with probabilities"

    def check(self, settings: Mapping[str, Any], labels: Sequence[str]) -> None:
        """Accept any settings: there are none."""

    def write(self, serving: Serving, outputs: NDArray[np.float32]) -> list[str]:
        """Write the answers to instances, from outputs (N, K); an encoder of JSON takes three times as long."""
        if len(outputs) == 1 and outputs.size <= _FEW_CLASSES:
            shares = row_probabilities(outputs.tolist()[0], serving.activation)
            order = sorted(range(len(shares)), key=shares.__getitem__, reverse=True)
            return [_text(serving.label_texts, shares, order[: serving.top])]
        answers: list[str] = []
        count = max(1, _MOST_VALUES // outputs.shape[1])
        for start in range(0, len(outputs), count):
            rows = probabilities(outputs[start : start + count], serving.activation)
            orders = (-rows).argsort(axis=-1, kind="stable")[:, : serving.top]
            answers += map(_text, repeat(serving.label_texts), rows.tolist(), orders.tolist())
        return answers

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """Return the answer to one instance, from outputs (K,)."""
        [answer] = self.write(serving, outputs[np.newaxis])
        return cast("dict[str, Any]", json.loads(answer))

    def tensors(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the logits (N, K), and label, class index and probability (N,) of the most probable class."""
        shares = probabilities(outputs, serving.activation)
        indices = shares.argmax(axis=-1)
        return {
            "logits": outputs,
            "label": np.array([serving.labels[index] for index in indices.tolist()], dtype=np.object_),
            "class_id": indices.astype(np.int64),
            "probability": shares.max(axis=-1),
        }

    def longest(self, serving: Serving) -> dict[str, Any]:
        """Return an answer with the longest labels, and with the probabilities that take the most characters."""
        longest = heapq.nlargest(serving.top, serving.labels, key=lambda label: len(json.dumps(label)))
        top = [
            {"label": label, "class_id": len(serving.labels), "probability": LONGEST_PROBABILITY} for label in longest
        ]
        return {**top[0], "top": top}

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Read label, class index, probability and `top` from a server's JSON."""
        return {**read_class(document), "top": [read_class(entry) for entry in document["top"]]}

    def difference(self, serving: Serving, outputs: NDArray[np.float32], answer: Mapping[str, Any]) -> str:
        """Say whether the answer has another label than these outputs, or another probability of it."""
        label = serving.labels[int(outputs.argmax())]
        if answer["label"] != label:
            return f"expected label {label}, found {answer['label']}"
        probability = float(probabilities(outputs, serving.activation).max())
        if not abs(answer["probability"] - probability) <= PROBABILITY_ERROR:
            return (
                f"expected probability {probability:.6f} of {label}, as the server's own outputs have it with "
                f"activation {serving.activation}, found {answer['probability']:.6f}"
            )
        return ""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Write label and probability, and behind them those of the other classes."""
        others = ", ".join(f"{entry['label']} {entry['probability']:.4f}" for entry in answer["top"][1:])
        return f"{answer['label']} {answer['probability']:.4f}" + (f" ({others})" if others else "")

    def columns(self, serving: Serving) -> tuple[str, ...]:
        """Name label, class index and probability of the most probable class, then the same of the next ones."""
        return tuple(
            name if place == 1 else f"{name}_{place}" for place in range(1, serving.top + 1) for name in _CLASS_FIELDS
        )

    def cells(self, serving: Serving, outputs: NDArray[np.float32]) -> tuple[str | int | float | None, ...]:
        """Write the most probable classes one after the other."""
        return tuple(entry[name] for entry in self.tell(serving, outputs)["top"] for name in _CLASS_FIELDS)


def _text(labels: Sequence[str], probabilities: Sequence[float], order: Sequence[int]) -> str:
    """Write the answer to one instance.

    Args:
        labels: labels of all classes, as JSON has them.
        probabilities: probabilities of all classes.
        order: indices of the most probable classes.
    """
    top = [f'{{"label":{labels[index]},"class_id":{index},"probability":{probabilities[index]!r}}}' for index in order]
    return f'{top[0][:-1]},"top":[{",".join(top)}]}}'


def read_class(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read label, class index and probability from an object in a server's JSON."""
    return {
        "label": str(document["label"]),
        "class_id": int(document["class_id"]),
        "probability": float(document["probability"]),
    }
