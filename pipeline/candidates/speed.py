"""How many times faster a candidate is than eager torch and than float in ONNX Runtime, timed in the same rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.candidates.report import CandidateReport, EagerReport
from pipeline.measure.gain import Ratio, speed_up


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """The speed-up of a candidate at one batch size, over paired rounds.

    Args:
        batch_size: examples per call.
        over_eager: speed-up over the float network run by torch itself, in its faster memory format.
        over_float: speed-up over the float network's file, which is `float.onnx.fp32` wherever there is one.
    """

    batch_size: int
    over_eager: Ratio
    over_float: Ratio

    def to_json(self) -> dict[str, Any]:
        """Return the speed-ups as JSON values."""
        return {
            "batch_size": self.batch_size,
            "over_eager": self.over_eager.to_json(),
            "over_float": self.over_float.to_json(),
        }


def speed_ups(report: CandidateReport, *, eager: EagerReport, baseline: CandidateReport) -> tuple[SpeedUp, ...]:
    """Compute the speed-ups of a candidate, one per batch size that was measured.

    Args:
        report: report on the candidate.
        eager: timings of eager torch in the same rounds.
        baseline: report on the float network's file, timed in the same rounds too.
    """
    return tuple(
        SpeedUp(
            batch_size=timing.batch_size,
            over_eager=speed_up(eager.timing(timing.batch_size).rounds_ms, timing.rounds_ms),
            over_float=speed_up(baseline.timing(timing.batch_size).rounds_ms, timing.rounds_ms),
        )
        for timing in report.timings
    )
