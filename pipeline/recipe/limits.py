"""Recipe sections of checks and limits: `[verify]`, `[measure]`, `[budget]`, `[select]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from pipeline.recipe.candidates import Goal
from pipeline.recipe.section import Section


class Verify(Section):
    """Parity and quality checks."""

    samples: int = Field(default=256, ge=32, description="real validation inputs replayed through every candidate")
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(1, 2, 7, 32), min_length=1, description="examples per call in the parity check"
    )
    reference_evaluator_macs: int = Field(
        default=50_000_000,
        ge=0,
        description="ONNX files of at most so many multiply-accumulates also meet onnx's reference evaluator; 0: none",
    )


class Measure(Section):
    """Timing of the candidates, each with the threads it is served with."""

    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 32), min_length=1, description="examples per call; 1 is always among them"
    )
    rounds: int = Field(
        default=9,
        ge=6,
        description="interleaved rounds; below 6 the bootstrap interval over them misses far more often than it says",
    )
    block_ms: float = Field(default=60.0, ge=5, description="length of one timed block, in milliseconds")

    @model_validator(mode="after")
    def _one_is_there(self) -> Measure:
        if 1 not in self.batch_sizes:
            raise ValueError("batch_sizes: expected 1 among them, because selection by latency is at batch size 1")
        return self


class Budget(Section):
    """What a lossy candidate may lose."""

    max_accuracy_drop: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="largest drop of the task's mean score against float, as a fraction; held against a one-sided 95 % "
        "bound, all together; max_score_drop is another name for it",
    )
    max_confident_flips: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="largest share of examples that float labels by a margin of 0.5 or more, and it otherwise; for "
        "tasks whose answers have a confidence",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, settings: Any) -> Any:
        """Take the drop by its other name."""
        if not isinstance(settings, Mapping) or "max_score_drop" not in settings:
            return settings
        if "max_accuracy_drop" in settings:
            raise ValueError("expected one of max_accuracy_drop and max_score_drop, found both: they are the same")
        return {"max_accuracy_drop" if name == "max_score_drop" else name: value for name, value in settings.items()}


class Select(Section):
    """Which of the candidates inside their limits wins."""

    goal: Goal = Field(
        default="latency", description="latency at batch 1, throughput at the largest measured batch, or file size"
    )
    candidate: str | None = Field(default=None, description="take this one, by name, if it is inside its limits")
