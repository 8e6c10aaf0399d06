"""Steps are recorded by operator and timed, and their trace is a file that viewers open."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from pipeline.profiling.record import StepSchedule, Switch, record_steps

SIZE = 64


def test_steps_are_recorded_timed_and_traced(tmp_path: Path) -> None:
    switch = Switch()
    taken: list[int] = []

    def steps() -> Iterator[int]:
        while True:
            with switch.span("read"):
                rows = torch.rand(4, SIZE)
            with switch.span("forward"):
                torch.mm(rows, torch.rand(SIZE, SIZE))
            taken.append(len(taken))
            yield 4

    recording = record_steps(
        steps(),
        switch,
        StepSchedule(wait=1, warm_up=1, steps=3),
        device=torch.device("cpu"),
        batch_size=4,
        folder=tmp_path,
        name="trace",
    )
    assert len(taken) == 1 + 1 + 3 + 3
    assert recording.trace == "trace"
    assert (recording.examples_per_step, recording.recorded_steps, len(recording.step_ms)) == (4, 3, 3)
    assert set(recording.spans_ms) == {"read", "forward"}
    assert 0 < sum(recording.spans_ms.values()) <= sum(recording.step_ms) / 3
    costs = {cost.name: cost for cost in recording.operators}
    assert costs["aten::mm"].calls == 3
    assert costs["aten::rand"].calls == 6
    assert 0 < costs["aten::rand"].self_us < costs["aten::rand"].total_us
    assert costs["aten::mm"].memory_bytes >= 3 * 4 * SIZE * 4
    assert "forward" not in costs, "a part of a step is no operator"
    by_shape = {cost.shapes for cost in recording.operators_by_shape if cost.name == "aten::mm"}
    assert by_shape == {f"(4, {SIZE}) ({SIZE}, {SIZE})"}

    trace = json.loads((tmp_path / "trace.json").read_bytes())
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("aten::mm") == 3
    assert sum(str(name).startswith("ProfilerStep#") for name in names) >= 3
    assert "forward" in names
    (copy,) = (tmp_path / "tensorboard").iterdir()
    assert copy.name.endswith(".pt.trace.json.gz")
    assert json.loads(gzip.decompress(copy.read_bytes())) == trace
