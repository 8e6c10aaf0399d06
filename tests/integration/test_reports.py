"""What a finished build reports beside its table: metrics, examples that are most wrong, curves and activations."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

import pipeline
from pipeline.cli.render.console import print_result
from pipeline.cli.render.page import save_page
from pipeline.commands.event_files import read_steps
from pipeline.errors import DataError, FileError, UsageError
from tests.example_build import Built

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


def test_the_report_as_a_page_holds_its_pictures_and_loads_nothing(built: Built, tmp_path: Path) -> None:
    save_page(built.result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 4
    assert [base64.b64decode(picture)[:4] for picture in pictures] == [b"\x89PNG"] * 4
    assert "Selected" in page
    assert "macro average" in page
    assert not re.search(r"<script|<link|https?://", page)
    with pytest.raises(FileError, match=r"--html .*: expected to write the page there, found: No such file"):
        save_page(built.result, tmp_path / "nowhere" / "report.html")


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
