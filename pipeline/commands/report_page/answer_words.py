"""One answer in a few words, by task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import ANSWERS

# So many values of an answer, or labels, are told.
_MOST = 6


def answer_words(serving: Serving, of_float: NDArray[np.float32], of_winner: NDArray[np.float32]) -> tuple[str, str]:
    """Tell two answers to one example so that a reader sees in what they differ.

    Args:
        serving: description of the packed model.
        of_float: outputs of float, (K,).
        of_winner: outputs of the winner, (K,).
    """
    both = (of_float, of_winner)
    task = serving.task
    match task:
        case "classification":
            tops = [ANSWERS[task].tell(serving, outputs) for outputs in both]
            return _pair(f"{top['label']} {_share(top['probability'])}" for top in tops)
        case "multi-label":
            given = [ANSWERS[task].tell(serving, outputs)["labels"] for outputs in both]
            return _pair(
                _labels([f"{each['label']} {_share(each['probability'])}" for each in each_given])
                for each_given in given
            )
        case "regression" | "outputs":
            names = ANSWERS[task].columns(serving)
            furthest = np.argsort(-np.abs(of_float.astype(np.float64) - of_winner), kind="stable")[:_MOST]
            places = sorted(furthest.tolist()) if task == "regression" else furthest.tolist()[:1]
            return _pair(", ".join(f"{names[place]} {outputs[place]:.6g}" for place in places) for outputs in both)
        case _:
            assert_never(task)


def right_words(serving: Serving, target: NDArray[Any]) -> str:
    """Tell what is right of one example; empty where only the user's own score knows.

    Args:
        serving: description of the packed model.
        target: target of the example.
    """
    task = serving.task
    match task:
        case "classification":
            return serving.labels[int(target)]
        case "multi-label":
            return _labels([serving.labels[place] for place in np.flatnonzero(target).tolist()])
        case "regression":
            values = np.atleast_1d(target).tolist()
            return ", ".join(
                f"{name} {value:.6g}" for name, value in list(zip(serving.labels, values, strict=True))[:_MOST]
            )
        case "outputs":
            return ""
        case _:
            assert_never(task)


def _pair(texts: Any) -> tuple[str, str]:
    first, second = texts
    return first, second


def _labels(names: Sequence[str]) -> str:
    if not names:
        return "no label"
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _share(probability: float) -> str:
    return f"{probability:.1%}"
