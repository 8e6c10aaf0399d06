"""Comparisons of files whose times a test says beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline._handlers.description import RuntimeSpec
from pipeline.candidates.context import Context
from pipeline.measure.latency import Measurement, Subject
from pipeline.measure.rounds import Timing
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Measure
from pipeline.search import comparison
from pipeline.search.comparison import SpeedComparison
from tests.reporters import Lines

RUNTIME = RuntimeSpec(kind="onnxruntime", file="model.onnx", optimization="all", threads=1)
STEADY = (1.0,) * 9


class Watch:
    """Stands in for the timing: seconds by folder, those of the second look if there is one."""

    def __init__(self, *looks: Sequence[Sequence[float]]) -> None:
        self.looks = looks
        self.rounds: list[int] = []
        self.batch_sizes: set[int] = set()

    def __call__(self, subjects: Sequence[Subject], *, rounds: int, **_: Any) -> dict[str, Measurement]:
        times = self.looks[len(self.rounds)]
        self.rounds.append(rounds)
        self.batch_sizes |= {size for one in subjects for size in one.batch_sizes}
        return {
            one.name: Measurement(
                timings=(Timing(batch_size=one.batch_sizes[0], rounds_s=tuple(seconds)),), load_s=0.0, peak_bytes=0
            )
            for one, seconds in zip(subjects, times, strict=True)
        }


def comparison_for(goal: Goal, folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> SpeedComparison:
    monkeypatch.setattr(comparison, "measure_latency", watch)
    context = SimpleNamespace(model=SimpleNamespace(inputs=()), samples=folder, scratch=folder, reporter=Lines())
    return SpeedComparison(context=cast("Context", context), goal=goal, measure=Measure(batch_sizes=(1, 8)))


def faster_by(share: float, rounds: Sequence[float] = STEADY) -> tuple[Sequence[float], Sequence[float]]:
    """Times of two, the first faster by a share in the median."""
    return [(1 - share) * one for one in rounds], STEADY
