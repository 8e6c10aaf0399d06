"""A residual network through the whole of a build: trained, searched, proven, served."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline


@pytest.mark.slow
def test_the_search_makes_a_resnet_smaller_and_faster_inside_the_budget(tmp_path: Path) -> None:
    # Time enough for the first network on a slow machine too; what is finished by then counts.
    overrides = [
        "candidates.variants=[]",
        'candidates.formats=["onnx"]',
        "search.effort=quick",
        "search.max_minutes=15",
    ]
    result = pipeline.build(
        "fashion-resnet18", run_dir=tmp_path / "run", model_store=tmp_path / "store", overrides=overrides
    )
    rows = {row.report.name: row for row in result.candidates}
    winner = rows[result.selected]
    assert winner.report.variant.startswith("slim")
    assert winner.verdict.text == "within budget"
    assert winner.verdict.adjusted_drop_upper <= result.limits.max_accuracy_drop
    assert winner.report.size * 5 < rows["float.onnx.fp32"].report.size
    assert winner.speed[0].batch_size == 1
    assert winner.speed[0].over_eager.is_gain
    assert winner.speed[0].over_float.is_gain
    assert result.test.accuracy > 0.8
