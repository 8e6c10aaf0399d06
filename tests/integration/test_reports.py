"""What a finished build reports beside its table: metrics, examples that are most wrong, curves and activations."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

import pipeline
from pipeline.candidates.unproven import Unproven
from pipeline.cli.render.summary import print_result
from pipeline.commands.event_files import read_steps
from pipeline.commands.report import report_archive
from pipeline.commands.report_page.run import report_of_run
from pipeline.engine.manifest import read_manifest
from pipeline.errors import DataError, FileError, UsageError
from pipeline.measure.host import cpu_model
from tests.command_line import run_here
from tests.example_build import Built
from tests.report_documents import shown
from tests.reporters import Lines

# What TensorBoard itself sees in a folder of event files.
TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps([[event.step, event.value] for event in events.Scalars(sys.argv[2])]))
"""


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_metrics_of_both_splits_are_those_of_the_answers(built: Built) -> None:
    result = built.result
    assert sorted(result.metrics) == ["test", "validation"]
    validation, test = result.metrics["validation"].networks["float"], result.metrics["test"].networks
    assert sorted(test) == sorted({result.selected, result.baseline})
    assert test[result.selected].score == result.test.accuracy
    assert test[result.baseline].score == result.test.float_accuracy
    samples = load_file(built.run_dir / "candidates" / "samples.safetensors")
    history = json.loads((built.run_dir / "train" / "history.json").read_text())
    assert validation.score == pytest.approx(history["final"]["validation"]["accuracy"])
    assert validation.curves["macro F1"] == pytest.approx(history["final"]["validation"]["macro_F1"])
    assert len(samples["labels"]) < validation.examples == 539
    assert [list(row) for row in test[result.selected].confusion] != []
    again = pipeline.report(built.run_dir, model_store=built.model_store)
    assert again.metrics == result.metrics
    assert again.to_json()["metrics"]["test"]["split"] == "test"


def test_what_is_most_wrong_on_validation_is_what_the_network_answers(built: Built) -> None:
    """The captured answers of the whole split, judged by scikit-learn, are the written metrics."""
    out = built.run_dir.parent / "answers.safetensors"
    data = built.run_dir / "data" / "validation.safetensors"
    labels = load_file(data)["labels"]
    captured = pipeline.capture(
        built.recipe,
        overrides=built.overrides,
        run_dir=built.run_dir,
        modules=["head"],
        file=data,
        examples=len(labels),
        out=out,
    )
    assert captured.shapes == {"head": (len(labels), 10)}
    logits = load_file(out)["head"]
    answers = logits.argmax(axis=1)
    metrics = built.result.metrics["validation"]
    float_metrics = metrics.networks["float"]
    assert float_metrics.score == pytest.approx(accuracy_score(labels, answers))
    assert float_metrics.averages[0].f1 == pytest.approx(f1_score(labels, answers, average="macro"))
    assert [list(row) for row in float_metrics.confusion] == confusion_matrix(labels, answers).tolist()
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][: len(metrics.worst)]
    assert [answer.example for answer in metrics.worst] == worst.tolist()
    assert [answer.error for answer in metrics.worst] == pytest.approx(losses[worst], rel=1e-3)


def test_the_report_shows_metrics_and_pictures(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    print_result(built.result)
    out = " ".join(capsys.readouterr().out.split())
    assert "class on test examples precision recall F1 F1 of float most often taken for" in out
    assert "macro average 359" in out
    assert "Most wrong on validation, by cross-entropy in nats, as trained: example " in out
    names = ["confusion_matrix.png", "learning_curves.png", "worst_examples.png"]
    assert sorted(path.name for path in built.result.pictures) == names
    assert all(size_of(path)[0] > 400 for path in built.result.pictures)


def test_a_build_leaves_the_page_of_its_report(built: Built) -> None:
    result, page = built.result, shown(built.run_dir / "report.html")
    first, second = page["verdict"]["sentences"]
    assert result.selected in first
    assert f"{result.test.examples:,} test examples" in second
    names = [row["name"] for row in page["candidates"]["rows"]]
    assert sorted(names) == sorted([*(row.report.name for row in result.candidates), *_names(result.unproven)])
    assert names[: len(result.candidates)] == sorted(
        (row.report.name for row in result.candidates), key=_milliseconds(result).__getitem__
    )
    assert page["candidates"]["columns"][page["candidates"]["sorted_by"]]["name"] == "ms at 1"
    tried = len(result.candidates) + len(result.unproven)
    assert page["candidates"]["notes"][0].startswith(f"{tried} candidates tried: ")
    assert {row.report.variant for row in result.candidates} <= page["candidates"]["terms"].keys()
    runner_up, rule, *_, clocks = page["verdict"]["notes"]
    assert runner_up.startswith("The runner-up is ")
    assert "the fastest one at one example a call wins" in rule
    assert "medians of paired rounds" in clocks
    assert cpu_model() in clocks
    assert all(row["cells"][1]["text"].endswith(".") for row in page["candidates"]["rows"])
    assert page["training"]["epochs"] == [1, 2, 3]
    assert {digest["value"] for digest in page["digests"]} >= {result.archive_sha256}
    assert page["absent"].keys() <= {"graph", "disagreements"}
    assert str(built.run_dir.parent) not in (built.run_dir / "report.html").read_text(encoding="utf-8")


def _milliseconds(result: pipeline.BuildResult) -> dict[str, float]:
    return {row.report.name: row.report.timing(1).median_ms for row in result.candidates}


def _names(rows: Sequence[Unproven]) -> list[str]:
    return [row.name for row in rows]


def test_the_page_shows_the_examples_that_two_networks_answer_differently(built: Built, tmp_path: Path) -> None:
    run_dir = shutil.copytree(built.run_dir, tmp_path / "run")
    manifest = read_manifest(run_dir)
    assert manifest is not None
    chosen = next(row.report.name for row in built.result.candidates if row.report.quality.flips)
    result = replace(
        built.result,
        run_dir=run_dir,
        selected=chosen,
        candidates=tuple(replace(row, selected=row.report.name == chosen) for row in built.result.candidates),
        metrics={},
    )
    run = report_of_run(result, manifest)
    disagreements = run.document.disagreements
    assert disagreements is not None
    [report] = [row.report for row in result.candidates if row.report.name == chosen]
    assert f"On {report.quality.flips:,} of 539 validation examples" in disagreements.sentences[0]
    assert (
        f"float's is better on {report.quality.lost:,}, the winner's on {report.quality.gained:,}"
        in (disagreements.sentences[0])
    )
    assert "holds validation data" in disagreements.sentences[1]
    assert disagreements.examples
    split = load_file(run_dir / "data" / "validation.safetensors")
    for example in disagreements.examples:
        assert example.of_float != example.of_winner
        assert example.right == str(split["labels"][example.number])
        assert (example.better == "float") is example.of_float.startswith(f"{example.right} ")
        picture = Image.open(io.BytesIO(base64.b64decode(example.picture.partition(",")[2])))
        assert picture.size == (8, 8)
    assert run.document.calibration is not None
    bins = run.document.calibration.bins[chosen]
    assert sum(each.examples for each in bins) == 539
    gap = sum(abs(each.certainty - each.right) * each.examples for each in bins) / 539
    assert report.quality.calibration_error is not None
    assert gap <= report.quality.calibration_error + 1e-6  # fewer bins hide more
    kept_out = manifest.model_copy(update={"settings": {**manifest.settings, "report": {"examples": "none"}}})
    without = report_of_run(result, kept_out).document.disagreements
    assert without is not None
    assert without.examples == ()
    assert without.sentences[0] == disagreements.sentences[0]
    assert "keeps examples out of this page" in without.sentences[1]


def test_a_recipe_that_keeps_examples_out_is_followed_though_nothing_runs(built: Built, tmp_path: Path) -> None:
    run_dir = shutil.copytree(built.run_dir, tmp_path / "run")
    overrides = [*built.overrides, "report.examples=none"]
    result = pipeline.build(built.recipe, run_dir=run_dir, model_store=tmp_path / "store", overrides=overrides)
    assert {stage.action for stage in result.stages} == {"up to date"}
    for page in (result.page, pipeline.report(run_dir, page=tmp_path / "again.html").page):
        told = shown(page)["disagreements"]
        assert told is None or told["examples"] == []
    assert (tmp_path / "again.html").read_bytes() == result.page.read_bytes()


def test_a_part_whose_files_are_gone_says_so(built: Built, tmp_path: Path) -> None:
    run_dir = shutil.copytree(built.run_dir, tmp_path / "run")
    (run_dir / "data" / "validation.safetensors").unlink()
    (run_dir / "train" / "history.json").write_text('{"epochs": [1]}')
    pipeline.report(run_dir)
    page = shown(run_dir / "report.html")
    assert page["disagreements"] is None
    if built.result.selected != built.result.baseline:
        reason = page["absent"]["disagreements"]
        assert reason.startswith("This part cannot be told: data/validation.safetensors: expected")
    assert page["calibration"]["bins"] == {}
    assert page["absent"]["training"].startswith("This part cannot be told: ")
    assert page["training"] is None
    assert page["candidates"]["rows"]


def test_a_page_that_cannot_be_made_fails_no_build(built: Built, tmp_path: Path) -> None:
    run_dir = shutil.copytree(built.run_dir, tmp_path / "run")
    (run_dir / "report.html").unlink()
    (run_dir / "report.html").mkdir()
    lines = Lines()
    result = pipeline.build(
        built.recipe, run_dir=run_dir, model_store=tmp_path / "store", overrides=built.overrides, reporter=lines
    )
    assert result.archive.is_file()
    assert any(
        line.startswith("report.html could not be made, and nothing else depends on it: ") for line in lines.said
    )
    with pytest.raises(FileError, match=r"report\.html: expected to write the page there, found"):
        pipeline.report(run_dir)


def test_the_page_of_an_archive_says_what_its_evidence_does(built: Built, tmp_path: Path) -> None:
    page = shown(report_archive(built.result.archive, page=tmp_path / "page.html"))
    assert built.result.selected in page["verdict"]["sentences"][0]
    assert [axis["goal"] for axis in page["trade_off"]["axes"]] == ["size"]
    assert page["trade_off"]["axes"][0]["rivals"] == []
    assert sorted(page["absent"]) == ["calibration", "confusion", "disagreements", "graph", "trade-off", "training"]
    assert len(page["candidates"]["rows"]) == len(built.result.candidates) + len(built.result.unproven)
    stored = shutil.copy(built.result.archive, tmp_path)
    assert report_archive(stored) == tmp_path / "digits.report.html"
    with pytest.raises(FileError, match=r"--html .*: expected to write the page there, found: No such file"):
        report_archive(built.result.archive, page=tmp_path / "nowhere" / "report.html")
    Path(stored).write_bytes(b"PK")
    with pytest.raises(FileError):
        report_archive(stored)


def test_the_command_makes_the_page_and_opens_it(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(webbrowser, "open", looked_at.append)
    page = tmp_path / "page.html"
    for opened in (built.run_dir, built.result.archive):
        page.unlink(missing_ok=True)
        ended = run_here("report", opened, "--html", page, "--open")
        assert ended.returncode == 0
        assert page.is_file()
        assert opened == built.run_dir or ended.stdout.endswith(f"{page}\n")
    assert looked_at == [page.as_uri()] * 2
    assert run_here("report", str(built.result.archive), "--json").returncode == 2


def test_curves_of_what_was_trained_before_are_written_when_they_are_asked_for(built: Built, tmp_path: Path) -> None:
    run_dir = shutil.copytree(built.run_dir, tmp_path / "run")
    curves = tmp_path / "curves"
    result = pipeline.train(built.recipe, run_dir=run_dir, overrides=built.overrides, tensorboard=curves)
    assert [stage.action for stage in result.stages] == ["up to date", "up to date"]
    steps = read_steps(curves / "train")
    assert list(steps) == [1, 2, 3]
    final = json.loads(result.history.read_text())["final"]["validation"]
    assert steps[3]["loss/validation"] == pytest.approx(final["loss"])
    command = [sys.executable, "-c", TENSORBOARD, str(curves / "train"), "loss/validation"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(seen.stdout) == [[step, figures["loss/validation"]] for step, figures in steps.items()]


def test_activations_are_captured_as_arrays_and_pictures(built: Built, tmp_path: Path) -> None:
    data = load_file(built.run_dir / "data" / "test.safetensors")
    pictures = next(values for key, values in data.items() if key.startswith("input."))
    np.save(tmp_path / "two.npy", pictures[:2])
    captured = pipeline.capture(
        built.recipe,
        overrides=built.overrides,
        run_dir=built.run_dir,
        modules=["stem.0", "head"],
        file=tmp_path / "two.npy",
        examples=5,
        out=tmp_path / "new" / "layers.npz",
    )
    assert captured.to_json()["shapes"] == {"stem.0": [2, 32, 8, 8], "head": [2, 10]}
    with np.load(captured.file) as arrays:
        assert {name: arrays[name].shape for name in arrays} == captured.shapes
    assert [path.name for path in captured.pictures] == ["layers-stem.0.png", "layers-head.png"]
    assert all(size_of(path)[0] >= 640 for path in captured.pictures)


def test_what_cannot_be_captured_is_refused(built: Built, tmp_path: Path) -> None:
    def capture(**changes: object) -> None:
        arguments = {
            "overrides": built.overrides,
            "run_dir": built.run_dir,
            "modules": ["head"],
            "file": built.run_dir / "data" / "test.safetensors",
            "out": tmp_path / "capture.npz",
        }
        pipeline.capture(built.recipe, **{**arguments, **changes})  # type: ignore[arg-type]

    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    np.save(tmp_path / "narrow.npy", np.zeros((3, 1, 8, 7), np.uint8))
    with pytest.raises(UsageError, match=r"--module haed: expected .*; did you mean head\?"):
        capture(modules=["haed"])
    with pytest.raises(UsageError, match="--module: expected the name of a module of the network, found none"):
        capture(modules=[])
    with pytest.raises(UsageError, match=r"--out .*: expected a file ending in .npz or .safetensors, found '.txt'"):
        capture(out=tmp_path / "capture.txt")
    with pytest.raises(DataError, match=r"picture\.png: input image: not a picture"):
        capture(file=tmp_path / "picture.png")
    with pytest.raises(DataError, match=r"narrow.npy: input \w+: expected shape \(N, 1, 8, 8\), found \(3, 1, 8, 7\)"):
        capture(file=tmp_path / "narrow.npy")
    with pytest.raises(FileError, match=r"found that setting train\.epochs changed; run pipeline train"):
        capture(overrides=[*built.overrides, "train.epochs=4"])
    with pytest.raises(FileError, match="expected a finished training of this recipe, found none; run pipeline train"):
        capture(run_dir=tmp_path / "nothing")
    assert not (tmp_path / "capture.npz").exists()
