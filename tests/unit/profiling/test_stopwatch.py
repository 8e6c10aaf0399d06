"""The time of a block is without that of the blocks inside it."""

from __future__ import annotations

import time

import pytest
import torch

from pipeline.profiling.stopwatch import Stopwatch


def test_blocks_may_lie_in_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 4.0, 10.0, 20.0, 25.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(moments))
    watch = Stopwatch(torch.device("cpu"))
    with watch.block("optimizer"), watch.block("forward"):
        pass
    with watch.block("forward"):
        pass
    assert watch.seconds == {"forward": 3.0 + 5.0, "optimizer": 10.0 - 3.0}
