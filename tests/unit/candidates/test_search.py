"""What a search narrows networks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.candidates.search import aim_for
from pipeline.measure import host
from pipeline.recipe import Measure


def cost(parameters: int, macs: int, *, goal: str, batch_sizes: tuple[int, ...] = (1, 32)) -> float:
    aim = aim_for(goal, Measure(batch_sizes=batch_sizes), round_to=None)  # type: ignore[arg-type]
    return aim.parameter_cost * parameters + aim.mac_cost * macs


def test_parameters_count_more_the_fewer_examples_share_their_reading() -> None:
    assert cost(100, 5000, goal="latency") == 6000
    assert cost(100, 5000, goal="throughput", batch_sizes=(1, 10)) == 5100
    assert cost(100, 5000, goal="size") == 100


@pytest.mark.parametrize(("flags", "steps"), [("fpu avx2 avx512f", (16, 8)), ("fpu avx2", (8,)), ("", (8,))])
def test_for_speed_channels_go_in_blocks_of_this_processor(
    flags: str, steps: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"model name\t: A: CPU\nflags\t\t: {flags}\n")
    monkeypatch.setattr(host, "Path", lambda _: info)
    assert host.cpu_model() == "A: CPU"
    assert aim_for("latency", Measure(), round_to=None).round_to == steps
    assert aim_for("throughput", Measure(), round_to=None).round_to == steps
    assert aim_for("size", Measure(), round_to=None).round_to == (8,)
    assert aim_for("latency", Measure(), round_to=4).round_to == (4,)
    assert aim_for("size", Measure(), round_to=4).round_to == (4,)
