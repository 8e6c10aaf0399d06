"""A deadline limits the time that work may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engine.deadline import Deadline, TimeIsUpError
from pipeline.engine.stage import Silent


def test_a_deadline_counts_over_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.engine.deadline.time.monotonic", lambda: now[0])
    first = Deadline(tmp_path / "seconds", 10, Silent().log)
    now[0] += 6
    first.check()
    again = Deadline(tmp_path / "seconds", 10, Silent().log)
    assert again.used_s == pytest.approx(6)
    now[0] += 5
    with pytest.raises(TimeIsUpError):
        again.check()
