"""What is asked of each worker before a server counts as ready."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.serving.golden_question import golden_question
from pipeline.serving.question import Question
from tests.served_models import TABLE, build_archive


def test_copies_of_one_example_are_posted_where_a_batch_may_shift_the_answer(tmp_path: Path) -> None:
    counts = {}
    for name, invariant, allowed in (("float", True, False), ("alone", False, False), ("batched", False, True)):
        archive = build_archive(tmp_path / name, [TABLE], batch_invariant=invariant, allow_batch_variant=allowed)
        question = golden_question(archive)
        assert len(json.loads(question.body)["instances"]) == len(question.expected)
        counts[name] = len(question.expected)
    assert counts["float"] == counts["alone"] > 1
    assert counts["batched"] == 1


def test_an_answer_is_right_that_is_golden_and_of_this_archive(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [TABLE])
    golden_question(archive).write(tmp_path)
    question = Question.read(tmp_path)
    assert question.body == golden_question(archive).body

    def answer(shift: float = 0.0, digest: str = archive.digest) -> bytes:
        rows = (question.expected + np.float32(shift)).tolist()
        return json.dumps({"predictions": [{"logits": row, "digest": digest} for row in rows]}).encode()

    def right(body: bytes, asked: Question = question) -> bool:
        return asked.is_right(body, archive.serving, archive.digest)

    assert right(answer())
    wrong = [
        answer(0.01),
        answer(digest="another"),
        answer()[:-1],
        b"{}",
        b"[]",
        b'{"predictions": []}',
        answer(np.nan),
    ]
    assert [right(body) for body in wrong] == [False] * len(wrong)
    accepted = replace(question, accepted=True)
    assert [right(body, accepted) for body in wrong[:2]] == [True, False]
