"""What a person reads of a profile."""

from __future__ import annotations

from pipeline.profiling.document import Trial
from pipeline.profiling.summary import profile_lines
from tests.profiles import profile, recording


def test_steps_parts_trials_and_hints_are_said() -> None:
    tried = (
        Trial(
            kind="batch size", setting="train.batch_size = 16", batch_size=16, rate=1500.0, base_rate=800.0, gain=1.9
        ),
        Trial(kind="batch size", setting="train.batch_size = 32", batch_size=32, left_out="no room"),
    )
    lines = list(profile_lines(profile(trials=tried, hints=("try it",)), order="self", rows=5, by_shape=False))
    assert lines[0] == "profile of training: r; torch 2 on a processor"
    assert lines[1] == "cpu, 1 of 2 cores, float32, channels last, data in memory, adamw"
    assert "batch 8: a step takes 10.00 ms, 800 examples/s; 12.00 ms while it is recorded" in lines
    assert "the loader takes 10.0% of it: 1.000 ms, in which the network waits for its data" in lines
    assert any(line.startswith("  reading examples 0.400 ms (4%), changing pictures 0.600 ms (6%)") for line in lines)
    assert "  train.batch_size = 16: 1,500 examples/s against 800, 1.90 times as fast" in lines
    assert "  train.batch_size = 32: left out: no room" in lines
    assert lines[-1] == "hint: try it"


def test_forward_passes_have_no_loader_to_wait_for() -> None:
    passes = profile(recording(), mode="inference")
    lines = list(profile_lines(passes, order="self", rows=5, by_shape=False))
    assert "batch 8: a pass takes 10.00 ms, 800 examples/s; 12.00 ms while it is recorded" in lines
    assert not any("loader" in line for line in lines)
    assert lines[-1].startswith("no hint: ")
