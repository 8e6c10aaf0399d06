"""What a client is told of one instance by a classifier: the most probable classes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .activation import probabilities

if TYPE_CHECKING:
    from .description import Serving

# No float64 between 0 and 1 is written longer.
_PROBABILITY = 2.2250738585072014e-308
# Server and client compute in float64 from the same outputs, which cross the wire exactly.
_PROBABILITY_ERROR = 1e-6


class ClassificationAnswer:
    """Label, class index and probability of the most probable class, and of `top` of them."""

    def tell(self, serving: Serving, outputs: NDArray[np.float32]) -> dict[str, Any]:
        """What a client is told of one instance's outputs, (K,)."""
        shares = probabilities(outputs, serving.activation)
        top = [
            {"label": serving.labels[index], "class_id": index, "probability": float(shares[index])}
            for index in np.argsort(-shares, kind="stable")[: serving.top].tolist()
        ]
        return {**top[0], "top": top}

    def longest(self, serving: Serving) -> dict[str, Any]:
        """With the longest labels, and probabilities that are written longest."""
        longest = heapq.nlargest(serving.top, serving.labels, key=lambda label: len(json.dumps(label)))
        top = [{"label": label, "class_id": len(serving.labels), "probability": _PROBABILITY} for label in longest]
        return {**top[0], "top": top}

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Label, class index, probability and `top` of a server's JSON."""
        return {**_read_class(document), "top": [_read_class(entry) for entry in document["top"]]}

    def difference(self, serving: Serving, outputs: NDArray[np.float32], told: Mapping[str, Any]) -> str:
        """Another label, or another probability of it."""
        label = serving.labels[int(outputs.argmax())]
        if told["label"] != label:
            return f"expected label {label}, found {told['label']}"
        probability = float(probabilities(outputs, serving.activation).max())
        if not abs(told["probability"] - probability) <= _PROBABILITY_ERROR:
            return (
                f"expected probability {probability:.6f} of {label}, as the server's own outputs have it with "
                f"activation {serving.activation}, found {told['probability']:.6f}"
            )
        return ""

    def words(self, answer: Mapping[str, Any]) -> str:
        """Label and probability, those of the other classes behind them."""
        others = ", ".join(f"{entry['label']} {entry['probability']:.4f}" for entry in answer["top"][1:])
        return f"{answer['label']} {answer['probability']:.4f}" + (f" ({others})" if others else "")


def _read_class(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": str(document["label"]),
        "class_id": int(document["class_id"]),
        "probability": float(document["probability"]),
    }
