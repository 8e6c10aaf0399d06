"""Schedules of the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.training.optimize import make_optimizer, make_schedule


def test_schedules_reach_the_peak_and_end_where_they_should() -> None:
    rates: dict[str, list[float]] = {}
    for name in ("constant", "cosine", "one-cycle"):
        optimizer = make_optimizer("sgd", [nn.Parameter(torch.zeros(1))], learning_rate=0.1, weight_decay=0)
        schedule = make_schedule(name, optimizer, learning_rate=0.1, steps=100)
        rates[name] = []
        for _ in range(100):
            rates[name].append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
    assert rates["constant"] == [0.1] * 100
    assert rates["cosine"][0] == pytest.approx(0.1)
    assert rates["cosine"][-1] < 1e-4
    assert max(rates["one-cycle"]) == pytest.approx(0.1, rel=1e-3)
    assert rates["one-cycle"].index(max(rates["one-cycle"])) == 29
    assert rates["one-cycle"][-1] < 1e-5
