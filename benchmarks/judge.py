"""What a served archive must answer: the same as its file in this process, by the archive's own comparison."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.compare import compare
from pipeline._handlers.exchange import LOGITS_HEADER, Response, refusal, respond
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.task_answers import ANSWERS, read_answer
from pipeline.archive.mar import Archive
from pipeline.serving.front.asked import Asked, incoming
from pipeline.serving.front.dialects import predictions

# The answer to a request with this header holds the logits, so that answers are compared to the last digit.
LOGITS = {LOGITS_HEADER.lower(): "1"}
_FORMER = ("content-type", "content-encoding")


class Judge:
    """An archive's predictor in this process, and what may differ from it.

    Args:
        archive: archive that is served.

    Attributes:
        exact: whether the build found the answers independent of their batch bit for bit; then nothing may differ.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._dialects = predictions(archive.serving)
        golden = load(archive.members[archive.serving.golden.file])
        batches = [golden[f"logits.{size}"] for size in archive.serving.golden.batch_sizes]
        self.exact = all(np.array_equal(first, second) for first, second in itertools.pairwise(batches))
        with tempfile.TemporaryDirectory(prefix="judge-") as folder:
            archive.unpack(Path(folder))
            self._predictor = Predictor.load(Path(folder))
            self._predictor.require_self_test()

    def expected(self, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> Response:
        """Return the answer that a request gets alone.

        Args:
            path: address of predictions.
            headers: its headers, names in lower case.
            body: its body.
        """
        pairs = [(name.encode(), value.encode("latin-1").strip()) for name, value in headers]
        types, encodings = (tuple(value for name, value in headers if name == former) for former in _FORMER)
        try:
            request = Asked(headers=dict(pairs), content_types=types, encodings=encodings, body=body)
            asked = incoming(request, self._dialects[path])
        except BadRequest as problem:
            return refusal(problem)
        return respond(self._predictor, [asked])[0]

    def difference(self, expected: Response, status: int, body: bytes) -> str:
        """Say in one clause how an answer differs by more than it may; the text is empty if it does not.

        Args:
            expected: the answer of this process.
            status: status of the server's answer.
            body: its body.
        """
        if status != expected.status:
            return f"expected {expected.status} {_shown(expected.body)}, found {status} {_shown(body)}"
        if body == expected.body:
            return ""
        if status != 200:
            # What was found may be told in Python's words, which depend on how deep its stack was.
            right, refused = json.loads(expected.body), json.loads(body)
            same = (right["error"], right.get("expected")) == (refused["error"], refused.get("expected"))
            return "" if same else f"expected {_shown(expected.body)}, found {_shown(body)}"
        if self.exact:
            return f"expected {_shown(expected.body)}, found {_shown(body)}"
        return self._difference_of_answers(json.loads(expected.body), json.loads(body))

    def _difference_of_answers(self, expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
        wanted, answers = (document.get("predictions", [document]) for document in (expected, found))
        if len(wanted) != len(answers):
            return f"expected {len(wanted)} answers, found {len(answers)}"
        serving = self._archive.serving
        for row, (right, answer) in enumerate(zip(wanted, answers, strict=True)):
            golden, given = (np.array([document["logits"]], np.float32) for document in (right, answer))
            comparison = compare(golden, given, serving.golden.tolerance, batch_size=1)
            if not comparison.passed:
                return f"answer {row}: {comparison.reason}"
            difference = ANSWERS[serving.task].difference(serving, given[0], read_answer(answer)[1])
            if difference or answer["digest"] != right["digest"]:
                return f"answer {row}: {difference or 'another digest'}"
        return ""


def _shown(body: bytes) -> str:
    return body[:300].decode("utf-8", "replace")
