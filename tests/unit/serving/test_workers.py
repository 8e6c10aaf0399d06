"""What is asked of each worker before a server counts as ready."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.serving.workers import golden_request
from tests.served_models import TABLE, build_archive


def test_copies_of_one_example_are_posted_where_a_batch_may_shift_the_answer(tmp_path: Path) -> None:
    counts = {}
    for name, invariant, allowed in (("float", True, False), ("alone", False, False), ("batched", False, True)):
        archive = build_archive(tmp_path / name, [TABLE], batch_invariant=invariant, allow_batch_variant=allowed)
        body, _, expected = golden_request(archive)
        assert len(json.loads(body)["instances"]) == len(expected)
        counts[name] = len(expected)
    assert counts["float"] == counts["alone"] > 1
    assert counts["batched"] == 1
