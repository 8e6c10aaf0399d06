"""What is known about one candidate: a row of the table, as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.recipe import Format, Precision


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParityFigures(_Data):
    """How closely the served file reproduces its own source.

    Args:
        reference: what it was compared with.
        comparisons: how many batches were compared, both calls counted.
        max_absolute: largest difference on a logit.
        limit: what that difference could have been, at the place where it came closest to it.
        batch_invariant: whether an answer is the same whatever else is in the batch.
    """

    reference: str
    comparisons: int
    max_absolute: float
    limit: float
    batch_invariant: bool


class QualityFigures(_Data):
    """Decisions against the float network on the same labelled examples.

    Args:
        examples: how many.
        accuracy: share answered right.
        float_accuracy: the float network's.
        drop: float_accuracy - accuracy, as a fraction.
        drop_low: lower end of the two-sided 95 % interval of the drop (Tango's score interval).
        drop_high: its upper end.
        drop_bound: one-sided 95 % upper bound of the drop.
        lost: examples that float had right and this has wrong.
        won: the reverse.
        provable_drop: smallest bound these many examples could have given.
    """

    examples: int
    accuracy: float
    float_accuracy: float
    drop: float
    drop_low: float
    drop_high: float
    drop_bound: float
    lost: int
    won: int
    provable_drop: float


class TimingFigures(_Data):
    """One-thread latency at one batch size, milliseconds per call, a value per interleaved round."""

    batch_size: int
    median_ms: float
    rounds_ms: tuple[float, ...]


class PassFigures(_Data):
    """What one pass really did.

    Args:
        kind: the pass.
        sparsity: share of all weights that are zero afterwards.
        weights_touched: share of all weights it changed the form or value of.
        compute_touched: share of multiply-accumulates in the layers it acted on.
    """

    kind: str
    sparsity: float
    weights_touched: float
    compute_touched: float


class CandidateReport(_Data):
    """Everything measured about one candidate."""

    name: str
    identity: str
    variant: str
    format: Format
    precision: Precision
    lossy: bool
    how: Literal["script", "trace", "export", "quantize"]
    passes: tuple[PassFigures, ...]
    runtime: dict[str, Any]
    sha256: str
    size: int
    parity: ParityFigures
    quality: QualityFigures
    timings: tuple[TimingFigures, ...] = ()

    def timing(self, batch_size: int) -> TimingFigures:
        """The timing at a batch size.

        Raises:
            KeyError: it was not measured.
        """
        for timing in self.timings:
            if timing.batch_size == batch_size:
                return timing
        raise KeyError(batch_size)


def read_report(path: Path) -> CandidateReport:
    """Read a candidate's report."""
    return CandidateReport.model_validate(json.loads(path.read_bytes()))
