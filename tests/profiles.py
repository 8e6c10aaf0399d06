"""Recordings and profiles with the figures that a test needs."""

from __future__ import annotations

from typing import Any

from pipeline.profiling.document import OperatorCost, Profile, Recording, Surroundings

SURROUNDINGS = Surroundings(
    device="cpu",
    processor="a processor",
    threads=1,
    cores=2,
    torch="2",
    precision="float32",
    layout="channels last",
    data="in memory",
    optimizer="adamw",
)


def cost(name: str, self_us: float, **figures: Any) -> OperatorCost:
    """The cost of an operator."""
    return OperatorCost(**{"name": name, "self_us": self_us, "total_us": self_us, "calls": 2, **figures})


def recording(**figures: Any) -> Recording:
    """Two steps of 10 ms, of which 1 ms is waiting for data."""
    return Recording(
        **{
            "batch_size": 8,
            "examples_per_step": 8,
            "recorded_steps": 2,
            "recorded_ms": 12.0,
            "step_ms": (10.0, 10.0),
            "spans_ms": {"read": 0.4, "augment": 0.6, "forward": 3.0, "backward": 5.0, "optimizer": 1.0},
            "operators": (cost("aten::conv2d", 8000), cost("aten::add_", 2000)),
            "operators_by_shape": (),
            "trace": "trace",
            **figures,
        }
    )


def profile(*recordings: Recording, **figures: Any) -> Profile:
    """A profile of training."""
    return Profile(
        **{
            "recipe": "r",
            "mode": "training",
            "wait": 0,
            "warm_up": 1,
            "steps": 2,
            "surroundings": SURROUNDINGS,
            "recordings": recordings or (recording(),),
            **figures,
        }
    )
