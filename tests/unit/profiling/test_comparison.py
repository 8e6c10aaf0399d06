"""Two profiles stand side by side, the largest difference first."""

from __future__ import annotations

from pipeline.profiling.comparison import comparison_lines, operator_changes
from tests.profiles import SURROUNDINGS, cost, profile, recording

OLD = recording(operators=(cost("aten::conv2d", 8000), cost("aten::add_", 2000), cost("aten::view", 10)))
NEW = recording(
    batch_size=16,
    examples_per_step=16,
    step_ms=(5.0, 5.0),
    spans_ms={"read": 1.0, "augment": 1.0},
    operators=(cost("aten::conv2d", 4000), cost("aten::mkldnn", 500), cost("aten::view", 12)),
)


def test_operators_are_ordered_by_difference() -> None:
    changes = operator_changes(OLD, NEW)
    assert [(change.name, change.old_ms, change.new_ms) for change in changes] == [
        ("aten::conv2d", 4.0, 2.0),
        ("aten::add_", 1.0, 0.0),
        ("aten::mkldnn", 0.0, 0.25),
        ("aten::view", 0.005, 0.006),
    ]


def test_steps_and_operators_are_shown_with_their_ratio() -> None:
    bf16 = SURROUNDINGS.model_copy(update={"precision": "bfloat16"})
    lines = list(comparison_lines(profile(OLD), profile(NEW, surroundings=bf16), rows=3))
    assert lines[1] == "  other surroundings: precision float32 -> bfloat16"
    cells = [line.split() for line in lines]
    assert ["batch", "size", "8", "16"] in cells
    assert ["step,", "ms", "10.000", "5.000", "0.50"] in cells
    assert ["examples", "a", "second", "800", "3,200", "4.00"] in cells
    assert ["waiting", "for", "data", "10.0%", "40.0%"] in cells
    assert ["aten::conv2d", "4.000", "2.000", "0.50"] in cells
    assert ["aten::mkldnn", "0.000", "0.250", "new"] in cells
    assert lines[-1] == "1 more operators, +0.001 ms together"


def test_forward_passes_are_compared_at_the_same_batch_size() -> None:
    old = profile(OLD.model_copy(update={"batch_size": 1}), OLD, mode="inference")
    new = profile(NEW, OLD, mode="inference")
    shown = [line.split() for line in comparison_lines(old, new, rows=1) if line.startswith("batch size")]
    assert shown == [["batch", "size", "8", "8"]]
