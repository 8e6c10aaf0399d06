"""`pipeline predict ARCHIVE --data`: real archives answer files, rows and arrays; interrupted runs go on."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

import pipeline
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.columns import Column
from pipeline._handlers.predictor import Predictor
from pipeline.archive.mar import Archive
from pipeline.errors import EXIT_INTERRUPTED, DataError, FileError, ProofError, StageError, UsageError
from pipeline.serving.encoding import encode_png
from tests.command_line import error_line, run, running
from tests.reporters import Lines
from tests.served_models import GREY, LABELS, SEQUENCE, TABLE, build_archive

PIXELS = np.random.default_rng(5).integers(0, 256, (150, 1, 8, 6), dtype=np.uint8)
ROWS = np.random.default_rng(6).uniform(-2, 2, (300, 4)).round(3)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("grey"), [GREY])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("table"), [TABLE])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(PIXELS):
        path = root / f"{number % 3}" / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(pixels))
    return root


def csv_file(path: Path, rows: Any, *, header: bool = True) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["a", "b", "c", "d"]] * header)
        writer.writerows(rows.tolist())
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def loaded(archive: Archive, folder: Path) -> Predictor:
    archive.unpack(folder)
    return Predictor.load(folder)


def test_pictures_in_order_with_any_number_of_workers(grey: Archive, folder: Path, tmp_path: Path) -> None:
    lines = Lines()
    answers = pipeline.predict_archive(grey.path, data=folder, out=tmp_path / "one.csv", reporter=lines)
    again = pipeline.predict_archive(grey.path, data=folder, out=tmp_path / "three.csv", workers=3)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "three.csv").read_bytes()
    assert (answers.examples, answers.failed, again.examples, answers.digest) == (150, 0, 150, grey.digest)
    assert lines.said == [f"{grey.path.name}: pictures and golden answers agree"]
    rows = read(tmp_path / "one.csv")
    assert [row["file"] for row in rows] == sorted(f"{n % 3}/{n:03d}.png" for n in range(150))
    predictor = loaded(grey, tmp_path / "unpacked")
    for row in rows[::10]:
        expected = predictor.answer(predictor.predict([{"image": PIXELS[int(row["file"][2:5])]}])[0])
        assert (row["label"], int(row["class_id"])) == (expected["label"], expected["class_id"])
        assert float(row["probability"]) == pytest.approx(expected["probability"], abs=1e-6)
        assert row["label_3"] == expected["top"][2]["label"]
        assert row["error"] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "three.csv", "unpacked"]


def test_what_cannot_be_answered_is_a_row_and_the_code_says_so(grey: Archive, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(encode_png(PIXELS[0]))
    (pictures / "b.png").write_bytes(encode_png(PIXELS[1])[:-30])
    (pictures / "c.jpg").write_text("text")
    (pictures / "notes.txt").write_text("text")
    ended = run("predict", grey.path, "--data", pictures, "--out", tmp_path / "a.csv", "--json")
    assert ended.returncode == DataError.exit_code
    document = json.loads(ended.stdout)
    assert (document["examples"], document["failed"], [name for name, _ in document["reasons"]]) == (
        3,
        2,
        ["b.png", "c.jpg"],
    )
    assert "a.csv: expected an answer to each of 3 examples, found none to 2 (see the column error), first b.png: " in (
        ended.stderr
    )
    assert "left out 1 file that is no picture: notes.txt" in ended.stderr
    first, second, third = read(tmp_path / "a.csv")
    assert first["label"] in LABELS
    assert "PNG file cannot be decoded: expected a whole PNG file" in second["error"]
    assert "not a picture: expected a PNG, JPEG" in third["error"]
    assert second["label"] == third["label"] == ""


@pytest.mark.parametrize("header", [True, False])
def test_rows_of_a_table_are_answered_as_json_is(table: Archive, tmp_path: Path, header: bool) -> None:
    data = csv_file(tmp_path / "rows.csv", ROWS, header=header)
    pipeline.predict_archive(table.path, data=data, out=tmp_path / "answers.jsonl", batch_size=1)
    documents = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [document.pop("row") for document in documents] == list(range(300))
    predictor = loaded(table, tmp_path / "unpacked")
    for row in (0, 1, 299):
        body = json.dumps({"instances": [ROWS[row].tolist()]}).encode()
        request = decode_request(body, "application/json", predictor.serving.inputs)
        assert documents[row] == predictor.answer(predictor.predict(request.instances)[0])


def test_columns_of_a_table_are_found_by_name(tmp_path: Path) -> None:
    columns = (Column(name="age"), Column(name="sex", categories=("f", "m")), Column(name="x"), Column(name="y"))
    archive = build_archive(tmp_path, [replace(TABLE, columns=columns)])
    (tmp_path / "rows.csv").write_text("id;y;sex;x;age\n7;0.5;m;-1.25;1\n8;0.5;w;-1.25;1\n9;0.5;f;-1.25;1;2\n")
    answers = pipeline.predict_archive(archive.path, data=tmp_path / "rows.csv", out=tmp_path / "a.jsonl")
    assert answers.notes == (f"{tmp_path / 'rows.csv'}: left out 1 columns: id",)
    first, second, third = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    predictor = loaded(archive, tmp_path / "unpacked")
    outputs = predictor.predict([{"features": np.array([1, 1, -1.25, 0.5], np.float32)}])
    assert first == {"row": 0, **predictor.answer(outputs[0])}
    assert second["error"] == 'input features: column sex: unknown category: expected f, m, found "w"'
    assert third["error"] == "wrong number of cells: expected 5, found 6"


def test_a_parquet_file_is_answered_as_the_csv_file_of_the_same_table(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    write_table = pytest.importorskip("pyarrow.parquet").write_table
    columns = (Column(name="age"), Column(name="sex", categories=("f", "m")), Column(name="x"), Column(name="y"))
    archive = build_archive(tmp_path, [replace(TABLE, columns=columns)])
    rows = [
        (number / 150, ("f", "m", None, "w")[number % 4], number / 700 if number % 5 else None, number, 1)
        for number in range(-300, 300)
    ]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("age", "sex", "x", "id", "y"), *rows])
    arrays = [pa.array([row[place] for row in rows]) for place in range(5)]
    write_table(pa.table(arrays, names=["age", "sex", "x", "id", "y"]), tmp_path / "rows.parquet", row_group_size=97)
    for name in ("rows.csv", "rows.parquet"):
        answers = pipeline.predict_archive(archive.path, data=tmp_path / name, out=tmp_path / f"{name}.jsonl")
        assert 0 < answers.failed < answers.examples == 600
    assert (tmp_path / "rows.parquet.jsonl").read_bytes() == (tmp_path / "rows.csv.jsonl").read_bytes()


def test_cells_that_are_no_values_are_rows_with_errors(table: Archive, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,c,d\n1,1,1,1\n1,x,1,1\n1,,1,1\n1,1,1\n1,1,1,9\n")
    answers = pipeline.predict_archive(table.path, data=tmp_path / "rows.csv", out=tmp_path / "a.csv")
    assert (answers.examples, answers.failed) == (5, 4)
    reasons = [row["error"] for row in read(tmp_path / "a.csv")]
    assert reasons[0] == ""
    assert reasons[1] == "column b: wrong kind of value: expected a number, found 'x'"
    assert reasons[2].startswith("column b: no value: expected a number; this input has no missing values, found an em")
    assert reasons[3] == "wrong number of cells: expected 4, found 3"
    assert reasons[4].startswith("input features: value out of its domain at [3]: expected -2 to 2, found 9")
    with pytest.raises(DataError, match=r"found none to 4 \(see the column error\), first row 1: column b"):
        answers.require()


def test_arrays_of_every_kind_give_the_same_answers(table: Archive, tmp_path: Path) -> None:
    values = ROWS.astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "b.npz", features=values, labels=np.zeros(300))
    save_file({"input.features": values, "labels": np.zeros(300, np.int64)}, tmp_path / "c.safetensors")
    np.save(tmp_path / "d.npy", ROWS)  # float64
    for name in ("a.npy", "b.npz", "c.safetensors", "d.npy"):
        pipeline.predict_archive(table.path, data=tmp_path / name, out=tmp_path / f"{name}.csv")
    written = {(tmp_path / f"{name}.csv").read_bytes() for name in ("a.npy", "b.npz", "c.safetensors", "d.npy")}
    assert len(written) == 1


def test_several_inputs_and_free_sizes(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [SEQUENCE], sizes=(3, 9))
    np.save(tmp_path / "tokens.npy", np.random.default_rng(1).integers(0, 100, (5, 8)))
    pipeline.predict_archive(archive.path, data=tmp_path / "tokens.npy", out=tmp_path / "a.csv")
    assert {row["error"] for row in read(tmp_path / "a.csv")} == {""}
    two = build_archive(tmp_path / "two", [GREY, TABLE])
    np.savez(tmp_path / "two.npz", image=PIXELS[:5], features=ROWS[:5])
    pipeline.predict_archive(two.path, data=tmp_path / "two.npz", out=tmp_path / "two.csv")
    assert [row["row"] for row in read(tmp_path / "two.csv")] == list("01234")
    with pytest.raises(UsageError, match=r"expected a table .* this model takes no pictures, found a folder"):
        pipeline.predict_archive(two.path, data=tmp_path, out=tmp_path / "b.csv")


def test_one_by_one_where_answers_depend_on_the_batch(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [TABLE], batch_invariant=False)
    data = csv_file(tmp_path / "rows.csv", ROWS)
    pipeline.predict_archive(archive.path, data=data, out=tmp_path / "a.csv")
    assert len(read(tmp_path / "a.csv")) == 300
    with pytest.raises(UsageError, match="--batch-size: expected 1, since an answer depends on the others"):
        pipeline.predict_archive(archive.path, data=data, out=tmp_path / "b.csv", batch_size=2)


def test_an_archive_that_answers_otherwise_or_was_altered_is_refused(table: Archive, tmp_path: Path) -> None:
    data = csv_file(tmp_path / "rows.csv", ROWS)
    wrong = build_archive(tmp_path / "wrong", [TABLE], golden_shift=0.5)
    with pytest.raises(ProofError, match=r"tiny.mar: candidate float.onnx.fp32: golden answers differ at batch size 1"):
        pipeline.predict_archive(wrong.path, data=data, out=tmp_path / "a.csv")
    altered = bytearray(table.path.read_bytes())
    altered[len(altered) // 2] ^= 1
    (tmp_path / "altered.mar").write_bytes(altered)
    with pytest.raises(FileError, match="altered"):
        pipeline.predict_archive(tmp_path / "altered.mar", data=data, out=tmp_path / "a.csv")
    with pytest.raises(FileError, match="expected digest 0000"):
        pipeline.predict_archive(table.path, data=data, out=tmp_path / "a.csv", digest="0" * 64)
    assert not list(tmp_path.glob("a.csv*"))


def test_a_killed_run_goes_on_and_two_at_once_are_refused(table: Archive, tmp_path: Path) -> None:
    data = csv_file(tmp_path / "rows.csv", np.tile(ROWS, (130, 1)))
    out, partial_state = tmp_path / "a.csv", tmp_path / "a.csv.partial" / "state.json"
    command = [sys.executable, "-m", "pipeline", "predict", str(table.path), "--data", str(data), "--out", str(out)]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not partial_state.exists() or json.loads(partial_state.read_bytes())["examples"] == 0:
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(StageError, match=r"a.csv: another process is writing it; wait for it to end"):
            pipeline.predict_archive(table.path, data=data, out=out)
        workers = psutil.Process(process.pid).children(recursive=True)
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    assert not out.exists()
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == EXIT_INTERRUPTED
        assert process.stderr.read() == "error: interrupted; it goes on from here when it is run again\n"
    assert f"{out}: going on behind" in lines[1]
    answers = pipeline.predict_archive(table.path, data=data, out=out, workers=2)
    assert 0 < answers.resumed_at < answers.examples == 39_000
    whole = out.read_bytes()
    pipeline.predict_archive(table.path, data=csv_file(tmp_path / "few.csv", ROWS), out=tmp_path / "few.csv.csv")
    few = (tmp_path / "few.csv.csv").read_bytes().splitlines()
    assert [line.partition(b",")[2] for line in whole.splitlines()[-300:]] == [
        line.partition(b",")[2] for line in few[1:]
    ]
    assert [row["row"] for row in read(out)] == [str(number) for number in range(39_000)]


def test_a_full_disk_is_one_clear_line(table: Archive, tmp_path: Path) -> None:
    data = csv_file(tmp_path / "rows.csv", np.tile(ROWS, (20, 1)))
    limit = 400_000
    command = ["predict", str(table.path), "--data", str(data), "--out", str(tmp_path / "a.csv")]
    ended = subprocess.run(
        ["prlimit", f"--fsize={limit}", sys.executable, "-m", "pipeline", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == FileError.exit_code, ended.stderr
    assert error_line(ended).startswith(f"error: {tmp_path / 'a.csv'}: File too large")
    answers = pipeline.predict_archive(table.path, data=data, out=tmp_path / "a.csv")
    assert len(read(tmp_path / "a.csv")) == answers.examples == 6000


@pytest.mark.parametrize(
    ("data", "out", "error", "message"),
    [
        ("gone", "a.csv", FileError, "gone: expected a folder or a file, found none"),
        ("rows.txt", "a.csv", UsageError, "rows.txt: expected a folder of pictures, a table (.csv, .tsv, .parquet)"),
        ("empty.csv", "a.csv", DataError, "empty.csv: expected at least one example, found none"),
        ("rows.csv", "rows.csv", UsageError, "--out: expected a file of its own, found the data, "),
        ("rows.csv", "gone/a.csv", FileError, "gone: expected a folder to write a.csv to, found: No such file"),
        ("rows.csv", "/proc/a.csv", FileError, "/proc: expected a folder to write a.csv to, found: "),
        ("folder", "a.csv", UsageError, "folder: expected a table (.csv) or arrays"),
    ],
)
def test_wrong_places_are_one_clear_line(
    table: Archive, tmp_path: Path, data: str, out: str, error: type[pipeline.PipelineError], message: str
) -> None:
    csv_file(tmp_path / "rows.csv", ROWS)
    (tmp_path / "rows.txt").write_text("")
    (tmp_path / "empty.csv").write_text("a,b,c,d\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=re.escape(message)):
        pipeline.predict_archive(table.path, data=tmp_path / data, out=tmp_path / out)
    assert not list(tmp_path.glob("a.csv*"))


def test_an_empty_folder_says_so(grey: Archive, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected at least one picture .*, found no file at all"):
        pipeline.predict_archive(grey.path, data=tmp_path / "empty", out=tmp_path / "a.csv")
