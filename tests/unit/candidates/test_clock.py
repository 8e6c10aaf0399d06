"""The time of a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.candidates.clock import Clock, TimeIsUpError
from pipeline.stage import Silent


def test_the_clock_counts_over_interruptions_and_ends_what_reports_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.candidates.clock.time.monotonic", lambda: now[0])
    clock = Clock(tmp_path / "seconds", 10, Silent())
    now[0] += 6
    clock.progress("fine-tune", 1, 3)
    again = Clock(tmp_path / "seconds", 10, Silent())
    assert again.used_s == pytest.approx(6)
    now[0] += 5
    again.progress("fine-tune", 3, 3)
    with pytest.raises(TimeIsUpError):
        again.progress("fine-tune", 1, 3)
