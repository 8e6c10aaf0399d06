"""How many times faster a candidate is than eager torch and than float in ONNX Runtime, timed in the same rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.candidates.report import CandidateReport, EagerReport
from pipeline.measure.gain import Ratio, speed_up


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """At one batch size, over paired rounds.

    Args:
        batch_size: examples per call.
        over_eager: than the float network run by torch itself, in its faster memory format.
        over_float: than the float network's file, `float.onnx.fp32` wherever there is one.
    """

    batch_size: int
    over_eager: Ratio
    over_float: Ratio

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "batch_size": self.batch_size,
            "over_eager": self.over_eager.to_json(),
            "over_float": self.over_float.to_json(),
        }


def speed_ups(report: CandidateReport, *, eager: EagerReport, baseline: CandidateReport) -> tuple[SpeedUp, ...]:
    """One per batch size that was measured.

    Args:
        report: of the candidate.
        eager: timed in the same rounds.
        baseline: the float network's file, likewise.
    """
    return tuple(
        SpeedUp(
            batch_size=one.batch_size,
            over_eager=speed_up(eager.timing(one.batch_size).rounds_ms, one.rounds_ms),
            over_float=speed_up(baseline.timing(one.batch_size).rounds_ms, one.rounds_ms),
        )
        for one in report.timings
    )
