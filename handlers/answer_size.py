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


def most_instances(serving: Serving, *, with_logits: bool = False, with_decoded: bool = False) -> int:
    """Instances whose answers fit, whatever they are.

    Args:
        serving: the model's labels and inputs.
        with_logits: whether each answer holds its logits.
        with_decoded: whether each answer holds the SHA-256 of its inputs.

    Returns:
        0 where not even one fits.
    """
    answer = {**ANSWERS[serving.task].longest(serving), "version": serving.version, "digest": "0" * 64}
    if with_decoded:
        answer["decoded"] = {spec.name: "0" * 64 for spec in serving.inputs}
    size = len(json.dumps(answer)) + len(',"logits":[],') + with_logits * _NUMBER * len(serving.labels)
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


class AnswerSize:
    """The limits on instances of one model, known before any request.

    Args:
        serving: the model's labels and inputs.
    """

    def __init__(self, serving: Serving) -> None:
        self._rooms = {
            (logits, decoded): AnswerRoom(
                most=most_instances(serving, with_logits=logits, with_decoded=decoded),
                asked=" and ".join([*["logits"] * logits, *["what was decoded"] * decoded]),
            )
            for logits in (False, True)
            for decoded in (False, True)
        }

    def room(self, *, with_logits: bool, with_decoded: bool) -> AnswerRoom:
        """The limit for a request that asks for these."""
        return self._rooms[with_logits, with_decoded]
