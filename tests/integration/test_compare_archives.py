"""`pipeline compare OLD NEW --data`: what differs between two real archives, and whether one may replace the other."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pipeline
from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline.archive.mar import Archive
from pipeline.cli.scoring import _comparison_lines
from pipeline.data.dataset import Split, write_split
from pipeline.data.synthetic import synthetic_inputs
from pipeline.errors import DataError, ProofError, UsageError
from pipeline.serving.encoding import encode_png
from pipeline.tasks.intervals import drop_bounds
from tests.command_line import run
from tests.served_models import GREY, LABELS, TABLE, build_archive, weights

EXAMPLES = 1000
CLASSES = np.random.default_rng(3).integers(0, 5, EXAMPLES)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("old"), [GREY])


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("new"), [GREY], noise=0.02)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(inputs=synthetic_inputs([GREY], EXAMPLES), labels=CLASSES)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "train.safetensors", split)
    write_split(folder / "test.safetensors", split)
    return folder


def outputs(archive: Archive, split: Split, folder: Path) -> NDArray[np.float32]:
    archive.unpack(folder)
    return run_chunks(load_model(folder, archive.serving.runtime, archive.serving.inputs), split.inputs, 7)


def test_differences_are_those_of_the_models(
    old: Archive, new: Archive, data: Path, split: Split, tmp_path: Path
) -> None:
    ended = run("compare", old.path, new.path, "--data", data, "--out", tmp_path / "d.csv", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    before, after = outputs(old, split, tmp_path / "old"), outputs(new, split, tmp_path / "new")
    differs = before.argmax(axis=1) != after.argmax(axis=1)
    right, still = before.argmax(axis=1) == CLASSES, after.argmax(axis=1) == CLASSES
    assert (found["examples"], found["differing"], found["verdict"]) == (EXAMPLES, differs.sum(), "no limit")
    assert differs.sum() > 3
    assert [example["name"] for example in found["differences"]] == np.flatnonzero(differs)[:20].tolist()
    assert found["metric"]["drop"] == pytest.approx(right.mean() - still.mean())
    lost, gained = int((right & ~still).sum()), int((still & ~right).sum())
    assert [found["metric"]["lower"], found["metric"]["upper"]] == pytest.approx(
        drop_bounds(lost=lost, gained=gained, examples=EXAMPLES, confidence=0.975)
    )
    assert found["largest"]["value"] == pytest.approx(np.abs(before - after).max(), rel=1e-5)
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == np.flatnonzero(differs).tolist()
    assert all(row["old_label"] != row["new_label"] for row in rows)
    assert [row["target"] for row in rows] == [LABELS[label] for label in CLASSES[differs]]


def test_differences_are_never_written_over_what_is_compared(tmp_path: Path) -> None:
    old = build_archive(tmp_path / "old", [TABLE])
    rows = tmp_path / "rows.csv"
    rows.write_text("0,1,2,3\n")
    ended = run("compare", old.path, old.path, "--data", rows, "--out", rows)
    assert (ended.returncode, ended.stdout) == (UsageError.exit_code, "")
    assert f"--out: expected a file of its own, found the data, {rows}" in ended.stderr
    assert rows.read_text() == "0,1,2,3\n"


def test_a_limit_is_held_with_95_percent_confidence(old: Archive, new: Archive, data: Path) -> None:
    ended = run("compare", old.path, new.path, "--data", data / "test.safetensors", "--max-differing", "0.01")
    assert ended.returncode == ProofError.exit_code
    sentence = "No, it may not replace the old one: 14 of 1,000 decisions differ, more than the limit of 1 %."
    assert sentence in ended.stdout
    assert f"error: {new.path}: {sentence}" in ended.stderr
    same = pipeline.compare(old.path, old.path, data=data, max_differing=0.01)
    same.require()
    assert same.sentence.startswith(
        "Yes, it may replace the old one: 0 of 1,000 decisions differ, with 95 % confidence at most 0.3 % do, inside"
    )
    assert same.identical == EXAMPLES
    few = pipeline.compare(old.path, old.path, data=data, max_differing=0.001)
    assert few.verdict == "not provable"
    with pytest.raises(ProofError, match=r"Not shown: .* at least 2,995 examples are needed"):
        few.require()


def test_pictures_in_folders_of_their_classes(old: Archive, new: Archive, split: Split, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for number, pixels in enumerate(split.inputs["image"][:50]):
        path = folder / LABELS[CLASSES[number]] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    (folder / LABELS[0] / "broken.png").write_bytes(b"")
    found = pipeline.compare(old.path, new.path, data=folder, workers=2)
    assert (found.examples, found.unanswered) == (50, 1)
    assert found.metric is not None
    right = outputs(old, split, tmp_path / "old")[:50].argmax(axis=1) == CLASSES[:50]
    assert found.metric.old == pytest.approx(right.mean())
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "a.png").write_bytes(encode_png(split.inputs["image"][0]))
    assert pipeline.compare(old.path, new.path, data=folder).metric is None


def test_pictures_of_training_are_left_out(old: Archive, split: Split, tmp_path: Path) -> None:
    for number, pixels in enumerate(split.inputs["image"][:12]):
        path = tmp_path / ("train" if number < 8 else "test") / LABELS[CLASSES[number]] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    compared = pipeline.compare(old.path, old.path, data=tmp_path)
    assert compared.examples == 4
    assert compared.metric is not None
    assert f"{tmp_path}: left out 8 pictures of training, in train" in compared.notes


def test_pictures_with_a_file_of_labels(old: Archive, new: Archive, split: Split, tmp_path: Path) -> None:
    lines = ["split,kind,file,camera"]
    for number, pixels in enumerate(split.inputs["image"][:40]):
        (tmp_path / f"{number:02d}.png").write_bytes(encode_png(pixels))
        lines.append(f"{('train', 'test')[number % 2]},{LABELS[CLASSES[number]]},{number:02d},camera {number % 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    command = ["compare", old.path, new.path, "--data", tmp_path, "--target"]
    ended = run(*command, "kind", "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["examples"] == 20
    assert document["notes"] == [f"{tmp_path}: left out 20 pictures of training, as labels.csv says"]
    for name, archive in (("old", old), ("new", new)):
        right = outputs(archive, split, tmp_path / f"unpacked-{name}")[1:40:2].argmax(axis=1) == CLASSES[1:40:2]
        assert document["metric"][name] == pytest.approx(right.mean())
    ended = run(*command, "camera")
    assert ended.returncode == DataError.exit_code
    assert f"{tmp_path / 'labels.csv'}: expected targets of {LABELS[0]}, " in ended.stderr


def test_a_table_with_a_column_of_targets(tmp_path: Path) -> None:
    named = InputSpec(
        name="features",
        dtype="float32",
        shape=(4,),
        low=-2.0,
        high=2.0,
        columns=tuple(Column(name=name) for name in "abcd"),
    )
    archives = [build_archive(tmp_path / str(noise), [named], noise=noise) for noise in (0.0, 0.3)]
    rows = np.random.default_rng(1).uniform(-2, 2, (60, 4)).round(2).tolist()
    labels = [LABELS[number % 3] for number in range(60)]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["d", "kind", "a", "b", "c"],
                *([d, kind, a, b, c] for (a, b, c, d), kind in zip(rows, labels, strict=True)),
            ]
        )
    found = pipeline.compare(
        archives[0].path, archives[1].path, data=tmp_path / "rows.csv", targets=["kind"], out=tmp_path / "d.csv"
    )
    assert found.examples == 60
    assert found.metric is not None
    classes = np.array([LABELS.index(label) for label in labels])
    split = Split(inputs={"features": np.array(rows, np.float32)}, labels=classes)
    before = outputs(archives[0], split, tmp_path / "unpacked").argmax(axis=1)
    assert found.metric.old == pytest.approx((before == classes).mean())
    with pytest.raises(UsageError, match="expected a column colour, found d, kind, a, b, c"):
        pipeline.compare(archives[0].path, archives[1].path, data=tmp_path / "rows.csv", targets=["colour"])
    read_csv = pytest.importorskip("pyarrow.csv").read_csv
    pytest.importorskip("pyarrow.parquet").write_table(read_csv(tmp_path / "rows.csv"), tmp_path / "rows.parquet")
    same = pipeline.compare(
        archives[0].path, archives[1].path, data=tmp_path / "rows.parquet", targets=["kind"], out=tmp_path / "same.csv"
    )
    assert same.metric == found.metric
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "d.csv").read_bytes()


def test_an_answer_that_only_one_of_them_has_is_a_difference(tmp_path: Path) -> None:
    spec = replace(TABLE, occurs=("noise",))  # no golden example has the largest values
    largest_values = np.array([[2, 2, 2, 1.9]], dtype=np.float32)
    np.save(tmp_path / "rows.npy", np.concatenate([synthetic_inputs([spec], 9)["features"], largest_values]))
    # The golden examples just fit into float32; this one does not.
    peak = np.abs(synthetic_inputs([spec], 9)["features"] @ weights(4)[::-1]).max()
    assert np.abs(largest_values @ weights(4)[::-1]).max() > peak * 1.1
    noise = float(np.finfo(np.float32).max / peak * 0.99)
    archives = [build_archive(tmp_path / "old", [spec]), build_archive(tmp_path / "new", [spec], noise=noise)]
    found = pipeline.compare(archives[0].path, archives[1].path, data=tmp_path / "rows.npy")
    assert (found.examples, found.one_sided) == (10, 1)
    [difference] = [difference for difference in found.differences if difference.new is None]
    assert (difference.name, difference.new_words) == (9, "no answer")
    assert difference.reason.startswith("the model has no answer to these values: expected values for which the netw")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"inputs": [TABLE]}, "expected the inputs of {old}, found others: number 0, name: image and features"),
        (
            {"labels": ["ankle boot", "bag", "coat", "dress", "shoe"]},
            "expected the labels of {old}, in their order, found others: number 4, label: sneaker and shoe",
        ),
    ],
)
def test_archives_of_other_questions_are_not_compared(
    old: Archive, data: Path, tmp_path: Path, other: dict[str, object], message: str
) -> None:
    options = {"inputs": [GREY], **other}
    archive = build_archive(tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as refused:
        pipeline.compare(old.path, archive.path, data=data)
    assert str(refused.value) == f"{archive.path}: {message.format(old=old.path)}"


def test_outputs_of_other_meanings_are_not_compared(old: Archive, data: Path, tmp_path: Path) -> None:
    other = build_archive(tmp_path, [GREY], activation="sigmoid")
    found = pipeline.compare(old.path, other.path, data=data)
    assert (found.differing, found.largest) == (0, None)
    lines = _comparison_lines(found)
    assert "outputs    not compared: one model answers with logits, the other with probabilities" in lines


def test_nothing_that_can_be_compared(old: Archive, new: Archive, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"expected an example that one of the archives answers, .* first broken.png: "):
        pipeline.compare(old.path, new.path, data=tmp_path, out=tmp_path / "d.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]
