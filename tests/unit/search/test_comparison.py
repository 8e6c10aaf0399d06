"""Who is certainly better, on times made up for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.builders import candidate
from tests.timed_files import RUNTIME, STEADY, Watch, comparison_for, faster_by

NOISY = (0.7, 1.4, 1.0, 1.3, 0.8, 1.1, 0.9, 1.2, 1.0)


@pytest.mark.parametrize(
    ("looks", "gains", "rounds"),
    [
        ([faster_by(0.2)], True, [9]),
        ([faster_by(-0.2)], False, [9]),
        ([faster_by(0.01)], False, [9]),
        ([faster_by(0.1, NOISY), faster_by(0.1)], True, [9, 36]),
        ([faster_by(0.1, NOISY), faster_by(0.1, NOISY)], False, [9, 36]),
    ],
    ids=["certain gain", "certain loss", "certainly the same", "gain at second look", "still open"],
)
def test_a_second_look_decides_where_the_first_leaves_it_open(
    looks: list[tuple[Sequence[float], Sequence[float]]],
    gains: bool,
    rounds: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(*looks)
    found = comparison_for("latency", tmp_path, watch, monkeypatch).file_gains(tmp_path / "a", tmp_path / "b", RUNTIME)
    assert found is gains
    assert watch.rounds == rounds
    assert watch.batch_sizes == {1}


def test_throughput_is_timed_in_the_largest_batch_and_size_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("a", 96), ("b", 100), ("c", 90)):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUNTIME.file).write_bytes(bytes(size))
    watch = Watch(faster_by(0.2))
    assert comparison_for("throughput", tmp_path, watch, monkeypatch).file_gains(
        tmp_path / "a", tmp_path / "b", RUNTIME
    )
    assert watch.batch_sizes == {8}
    by_size = comparison_for("size", tmp_path, Watch(), monkeypatch)
    assert by_size.file_gains(tmp_path / "a", tmp_path / "b", RUNTIME), "more than 3 % smaller"
    assert by_size.file_gains(tmp_path / "c", tmp_path / "a", RUNTIME)
    assert not by_size.file_gains(tmp_path / "b", tmp_path / "c", RUNTIME)


def test_the_fastest_of_each_group_counts_and_a_finding_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = RUNTIME
    one, slow, other = (
        candidate(name).model_copy(update={"runtime": runtime, "identity": name}) for name in ("one", "slow", "other")
    )
    watch = Watch([[2.0] * 9, [0.5] * 9, STEADY])
    by_latency = comparison_for("latency", tmp_path, watch, monkeypatch)
    assert by_latency.gains([slow, one], [other])
    assert by_latency.gains([slow, one], [other]), "not timed again"
    assert watch.rounds == [9]
