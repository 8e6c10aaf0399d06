"""Every task is scored and compared: the columns of its answers, its decisions, and its own scores."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pipeline
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.task_answers import TaskName
from pipeline.archive.mar import Archive
from pipeline.errors import FileError, UsageError
from tests.served_models import LABELS, TABLE, build_archive

ROWS = np.random.default_rng(2).uniform(-2, 2, (80, 4)).round(3)
SETTINGS: dict[TaskName, dict[str, Any]] = {
    "multi-label": {"threshold": [0.5]},
    "regression": {"tolerance": [0.5], "units": ["kg", "kg", "m", "m", "s"]},
}


def pair(folder: Path, task: TaskName) -> list[Archive]:
    """Two networks of the same task; a regression was trained on data of another spread."""
    trained = {"center": [0.0], "scale": [2.0]} if task == "regression" else {}
    old = build_archive(folder / "old.mar", [TABLE], task=task, task_settings=SETTINGS[task])
    new = build_archive(folder / "new.mar", [TABLE], task=task, task_settings={**SETTINGS[task], **trained}, noise=0.1)
    return [old, new]


def outputs(archive: Archive, folder: Path) -> NDArray[np.float32]:
    archive.unpack(folder)
    model = load_model(folder, archive.serving.runtime, archive.serving.inputs)
    return run_chunks(model, {"features": ROWS.astype(np.float32)}, 7)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_multi_label_archive(tmp_path: Path) -> None:
    old, new = pair(tmp_path, "multi-label")
    before, after = outputs(old, tmp_path / "old") > 0, outputs(new, tmp_path / "new") > 0
    np.savez(tmp_path / "data.npz", features=ROWS, labels=before.astype(np.uint8))
    pipeline.predict_archive(old.path, data=tmp_path / "data.npz", out=tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    expected = [{LABELS[index] for index in np.flatnonzero(row)} for row in before]
    assert [set(filter(None, row["labels"].split(";"))) for row in rows] == expected
    found = pipeline.compare(old.path, new.path, data=tmp_path / "data.npz", max_differing=0.01)
    assert found.differing == (before != after).any(axis=1).sum() > 0
    assert found.metric is not None
    both = (before & after).sum(axis=1)
    scores = np.where((before | after).any(axis=1), 2 * both / np.maximum(before.sum(axis=1) + after.sum(axis=1), 1), 1)
    assert found.metric.old == 1
    assert found.metric.new == pytest.approx(scores.mean())
    assert found.metric.lower < found.metric.drop < found.metric.upper
    assert set(found.differences[0].target.split(";")) == expected[found.differences[0].name]  # type: ignore[index, union-attr]


def test_a_regression_archive(tmp_path: Path) -> None:
    old, new = pair(tmp_path, "regression")
    before, after = outputs(old, tmp_path / "old"), outputs(new, tmp_path / "new")
    np.savez(tmp_path / "data.npz", features=ROWS, labels=before + np.float32(0.25))
    pipeline.predict_archive(old.path, data=tmp_path / "data.npz", out=tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    names = [name for name in rows[0] if name not in ("row", "error")]
    assert names == ["ankle boot [kg]", "bag [kg]", "coat [m]", "dress [m]", "sneaker [s]"]
    written = np.array([[row[name] for name in names] for row in rows], dtype=np.float32)
    assert np.abs(written - before).max() < 1e-5
    found = pipeline.compare(old.path, new.path, data=tmp_path / "data.npz", out=tmp_path / "d.csv")
    assert found.differing == (np.abs(before - after) > 0.5).any(axis=1).sum() > 0
    assert found.metric is not None
    assert found.metric.old == 1
    assert found.largest is not None
    assert found.largest.value == pytest.approx(np.abs(before - after).max(), rel=1e-4)
    assert found.largest.output in LABELS
    assert len(read(tmp_path / "d.csv")) == found.differing


def test_an_archive_of_outputs(tmp_path: Path) -> None:
    tensor = OutputSpec(name="logits", shape=(5,))
    settings = {"tolerance": 0.5}
    old, new = (
        build_archive(
            tmp_path / str(noise),
            [TABLE],
            task="outputs",
            task_settings=settings,
            outputs=[tensor],
            labels=["logits"],
            noise=noise,
        )
        for noise in (0.0, 0.1)
    )
    before, after = outputs(old, tmp_path / "old"), outputs(new, tmp_path / "new")
    np.savez(tmp_path / "data.npz", features=ROWS, labels=np.zeros(len(ROWS)))
    pipeline.predict_archive(old.path, data=tmp_path / "data.npz", out=tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    written = np.array([[row[f"logits[{place}]"] for place in range(5)] for row in rows], dtype=np.float32)
    assert np.abs(written - before).max() < 1e-5
    found = pipeline.compare(old.path, new.path, data=tmp_path / "data.npz")
    assert found.differing == (np.abs(before - after) > 0.5).any(axis=1).sum() > 0
    assert found.metric is None  # labels say nothing without the builder's own score
    assert found.largest is not None
    assert found.largest.output == f"logits[{np.abs(before - after).max(axis=0).argmax()}]"


def test_a_share_is_one_of_the_old_archives_own_spread(tmp_path: Path) -> None:
    tensor = OutputSpec(name="logits", shape=(5,))
    old, new = (
        build_archive(tmp_path / str(noise), [TABLE], task="outputs", outputs=[tensor], labels=["logits"], noise=noise)
        for noise in (0.0, 0.1)
    )
    counts = []
    for count in (len(ROWS), 2):
        np.save(tmp_path / "rows.npy", ROWS[:count])
        found = pipeline.compare(old.path, new.path, data=tmp_path / "rows.npy", out=tmp_path / f"{count}.csv")
        counts.append([int(row["row"]) for row in read(tmp_path / f"{count}.csv")])
        assert found.differing == len(counts[-1])
    assert counts[1] == [row for row in counts[0] if row < 2]


def test_no_function_is_imported_that_an_archive_names(tmp_path: Path) -> None:
    settings = {"score": "os:abort", "score_range": [0, 1]}
    tensor = OutputSpec(name="logits", shape=(5,))
    with pytest.raises(
        FileError, match="task_settings: expected no score or score_range, which is for the build alone"
    ):
        build_archive(tmp_path, [TABLE], task="outputs", task_settings=settings, outputs=[tensor], labels=["logits"])


def test_other_settings_of_a_task_are_another_question(tmp_path: Path) -> None:
    old = build_archive(tmp_path / "old", [TABLE], task="multi-label", task_settings={"threshold": [0.5]})
    new = build_archive(tmp_path / "new", [TABLE], task="multi-label", task_settings={"threshold": [0.4]})
    np.save(tmp_path / "rows.npy", ROWS)
    message = r"expected the task of .*, multi-label with threshold \[0.5\], found multi-label with threshold \[0.4\]"
    with pytest.raises(UsageError, match=message):
        pipeline.compare(old.path, new.path, data=tmp_path / "rows.npy")
    settings = {"threshold": [0.5]}
    probable = build_archive(tmp_path / "p", [TABLE], task="multi-label", task_settings=settings, activation="sigmoid")
    with pytest.raises(UsageError, match="only the decisions of classifiers can be compared across them"):
        pipeline.compare(old.path, probable.path, data=tmp_path / "rows.npy")
