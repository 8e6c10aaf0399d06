"""How many instances a request may hold so that its answer is no larger than the server sends on."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .bad_request import BadRequest
from .description import Serving
from .task_answers import ANSWERS

# TorchServe's own default for an answer (`max_response_size`). It ends a worker whose answer is larger.
MAX_ANSWER_BYTES = 6_553_500
# The longest that a float64 which holds a float32 is written: -1.1754943508222875e-38 and a comma.
_NUMBER = len("-1.1754943508222875e-38,")


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What each answer holds besides the task's own, because the request asks for it.

    Args:
        logits: the model's outputs.
        decoded: the SHA-256 of each input's values, by name.
    """

    logits: bool = False
    decoded: bool = False

    def __str__(self) -> str:
        """In words; empty if nothing."""
        return " and ".join([*["logits"] * self.logits, *["what was decoded"] * self.decoded])


def most_instances(serving: Serving, extras: Extras) -> int:
    """Instances whose answers fit into `{"predictions": [...]}`, whatever they are.

    Args:
        serving: the model's labels and inputs.
        extras: of each answer.

    Returns:
        0 where not even one fits.
    """
    answer = {**ANSWERS[serving.task].longest(serving), "version": serving.version, "digest": "0" * 64}
    if extras.decoded:
        answer["decoded"] = {spec.name: "0" * 64 for spec in serving.inputs}
    size = len(json.dumps(answer)) + len(',"logits":[],') + extras.logits * _NUMBER * len(serving.labels)
    return (MAX_ANSWER_BYTES - len('{"predictions":[]}')) // size


@dataclass(frozen=True, kw_only=True)
class AnswerRoom:
    """How much one answer may hold.

    Args:
        most: instances.
        asked: what each answer holds besides the task's own, in words; empty if nothing.
    """

    most: int
    asked: str = ""

    def require(self, instances: int) -> None:
        """Refuse a request whose answer might be too large, before more of it is decoded.

        Raises:
            BadRequest: with status 413 and how many instances fit.
        """
        if instances > self.most:
            raise BadRequest(
                "answer too large",
                expected=self._expected(),
                found="more" if self.most else "one",
                status=413,
            )

    def _expected(self) -> str:
        if self.most:
            return f"at most {self.most} instances in a request{self.asked and f' for {self.asked}'}"
        if self.asked:
            return f"a request without asking for {self.asked}"
        return f"a model with shorter labels, of which one answer has at most {MAX_ANSWER_BYTES} bytes"
