"""The limit on the instances of a request, so that its answer is not too large for the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bad_request import BadRequest
from .description import Serving
from .task_answers import ANSWERS

# This is TorchServe's default for an answer (`max_response_size`). It ends a worker whose answer is larger.
MAX_ANSWER_BYTES = 6_553_500
# No float32, held in a float64, is written longer than -1.1754943508222875e-38 and a comma.
_NUMBER = len("-1.1754943508222875e-38,")
# So many values of named outputs fit into one answer: each takes up to 16 characters in its output, a bracket or two,
# and `_NUMBER` in the logits that a check asks for as well.
MOST_OUTPUT_VALUES = MAX_ANSWER_BYTES // 48


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What each answer holds besides the task's own fields, because the request asks for it.

    Args:
        logits: whether the answer holds the model's outputs.
        decoded: whether the answer holds the SHA-256 of each input's values, by name.
    """

    logits: bool = False
    decoded: bool = False

    def __str__(self) -> str:
        """Name the extras in words; the text is empty if there are none."""
        return " and ".join([*["logits"] * self.logits, *["what was decoded"] * self.decoded])


def longest_answer(serving: Serving) -> dict[str, Any]:
    """Build an answer that takes at least as many bytes as any other of the model, without extras."""
    return {**ANSWERS[serving.task].longest(serving), "version": serving.version, "digest": "0" * 64}


def most_instances(serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
    """Count the instances whose answers fit into `{"predictions": [...]}`, whatever the answers say.

    Args:
        serving: the model's labels and inputs.
        longest: the answer that `longest_answer` built; with many labels, that takes long.
        extras: what each answer holds besides the task's own fields.

    Returns:
        Number of instances; 0 where not even one answer fits.
    """
    decoded = {"decoded": {spec.name: "0" * 64 for spec in serving.inputs}} if extras.decoded else {}
    size = len(json.dumps({**longest, **decoded})) + len(',"logits":[],') + extras.logits * _NUMBER * serving.columns
    return (MAX_ANSWER_BYTES - len('{"predictions":[]}')) // size


@dataclass(frozen=True, kw_only=True)
class AnswerRoom:
    """What one answer may hold.

    Args:
        most: largest number of instances.
        extras: what each answer holds besides the task's own fields, in words; empty if nothing.
        tensors: names of the model's tensors, from which a request in the form `tensors` may choose.
    """

    most: int
    extras: str = ""
    tensors: tuple[str, ...] = ()

    def require(self, instances: int) -> None:
        """Refuse a request whose answer might be too large, before more of it is decoded.

        Raises:
            BadRequest: the answer might be too large; the status is 413, and the text says how many instances fit.
        """
        if instances > self.most:
            raise BadRequest(
                "answer too large",
                expected=self._expectation(),
                found="more" if self.most else "one",
                status=413,
            )

    def _expectation(self) -> str:
        if self.most:
            return f"at most {self.most} instances in a request{self.extras and f' for {self.extras}'}"
        if self.extras:
            return f"a request without asking for {self.extras}"
        return f"a model with shorter labels, of which one answer has at most {MAX_ANSWER_BYTES} bytes"
