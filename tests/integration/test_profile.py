"""A profile says where time goes in the real training of a recipe, and leaves its run as it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import pipeline
from pipeline import cli
from pipeline.engine.stage import Silent
from pipeline.errors import FileError, UsageError
from tests.command_line import run
from tests.reporters import Lines

# Each example is a picture; the network is small, so that much augmentation takes longer than it.
PARTS = """
import numpy as np
from torch import nn
from pipeline import DataSet, InputSpec

def net():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16 * 36, 2)
    )

def pictures():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (96, 3, 48, 48), dtype=np.uint8)
    spec = InputSpec(name="picture", dtype="uint8", shape=(3, 48, 48), low=0, high=255)
    return DataSet.from_arrays("noise", {"picture": pixels}, np.arange(96) % 2, classes=["a", "b"], specs=[spec])
"""
RECIPE = """
[model]
factory = "parts:net"
[data]
factory = "parts:pictures"
[train]
device = "cpu"
batch_size = 32
"""


def files(folder: Path) -> dict[str, str]:
    """Digests of the files of a run that are not those of a profile."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.relative_to(folder).parts[0].startswith("profile")
    }


def test_a_run_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = pipeline.profile("toy", run_dir=folder, steps=2)
    assert [trial.setting for trial in first.profile.trials if trial.kind == "batch size"] == ["train.batch_size = 4"]
    assert all(trial.gain > 0 for trial in first.profile.trials)
    trained = pipeline.train("toy", run_dir=folder)
    assert [stage.action for stage in trained.stages] == ["up to date", "ran"]
    before = files(folder)
    result = pipeline.profile(
        "toy", run_dir=folder, steps=3, trials=False, by_shape=True, order="calls", compare=folder / "profile"
    )
    (folder / "profile-inference").mkdir()
    (folder / "profile-inference" / "trace-batch-7.json").write_text("mine")
    pipeline.profile("toy", run_dir=folder, inference=True, steps=2, batch_sizes=[4, 2, 4])
    answers = pipeline.profile("toy", run_dir=folder, inference=True, steps=2, overrides=["train.learning_rate=0.5"])
    assert files(folder) == before
    assert [stage.action for stage in pipeline.train("toy", run_dir=folder).stages] == ["up to date", "up to date"]

    assert result.folder == folder / "profile"
    document = json.loads((folder / "profile" / "profile.json").read_bytes())
    assert document == {name: value for name, value in result.to_json().items() if name != "files"}
    (steps,) = result.profile.recordings
    assert set(steps.spans_ms) == {"read", "augment", "forward", "loss", "backward", "optimizer"}
    calls = {cost.name: cost.calls for cost in steps.operators}
    assert calls["aten::addmm"] == 3 * 3, "three layers in each of three steps"
    assert "shapes of inputs" in "\n".join(result.text)
    assert any(line.startswith("against the profile of toy") for line in result.text)
    assert sorted(path.relative_to(folder / "profile").as_posix() for path in result.files) == [
        "profile.json",
        "profile.txt",
        "tensorboard/trace.pt.trace.json.gz",
        "trace.json",
    ]
    traces = [path.name for path in sorted((folder / "profile-inference").glob("trace-*"))]
    assert traces == ["trace-batch-1.json", "trace-batch-32.json", "trace-batch-7.json"], "those of 2 and 4 are gone"
    assert [recording.batch_size for recording in answers.profile.recordings] == [1, 32]
    assert all("backward" not in recording.spans_ms for recording in answers.profile.recordings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def write(folder: Path, train: str, name: str = "recipe") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(RECIPE + train)
    return path


def test_a_step_that_waits_for_its_pictures_is_told_and_its_twin_is_not(folder: Path) -> None:
    waiting = write(folder, "[train.augmentation]\nrand_augment = 6\nerasing = 0.1\n", "waiting")
    (hint,) = pipeline.profile(waiting, run_dir=folder / "run", steps=2, trials=False).profile.hints
    assert hint.startswith("the step waits ")
    assert "; without train.augmentation.rand_augment " in hint
    twin = pipeline.profile(write(folder, ""), run_dir=folder / "run", steps=2, trials=False).profile
    assert twin.hints == ()


def test_an_interrupted_profile_leaves_the_former_one(folder: Path) -> None:
    class Cut(Silent):
        def log(self, message: str) -> None:
            if message.startswith("profile: "):
                raise KeyboardInterrupt

    former = folder / "run" / "profile"
    former.mkdir(parents=True)
    (former / "trace.json").write_text("former")
    with pytest.raises(KeyboardInterrupt):
        pipeline.profile(write(folder, ""), run_dir=folder / "run", reporter=Cut())
    assert [(path.name, path.read_text()) for path in former.iterdir()] == [("trace.json", "former")]


def test_data_of_another_recipe_are_left_alone(folder: Path) -> None:
    recipe, said = write(folder, ""), Lines()
    pipeline.profile(recipe, run_dir=folder / "run", steps=1, trials=False, reporter=said)
    assert said.said[0] == "data: not built yet"
    before = files(folder / "run")
    with pytest.raises(UsageError, match=r"--operator aten::adm: expected an operator that these steps called"):
        pipeline.profile(recipe, run_dir=folder / "run", steps=1, trials=False, operators=["aten::adm"])
    with pytest.raises(
        FileError, match=r"expected the data of this recipe, found that setting data\.seed changed; run"
    ):
        pipeline.profile(recipe, run_dir=folder / "run", overrides=["data.seed=3"])
    assert files(folder / "run") == before


def test_the_command_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["profile", "toy", "--no-trials", "--steps", "2", "--rows", "3", "--run-dir", str(tmp_path / "run")]
    assert cli._run([*arguments, "--sort", "memory", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith((out / "profile.txt").read_text())
    assert str(out / "profile.json") in shown
    assert cli._run([*arguments, "--sort", "size"]) == UsageError.exit_code


@pytest.mark.slow
def test_torch_adds_no_lines_of_its_own(tmp_path: Path) -> None:
    ended = run("profile", "toy", "--no-trials", "--json", "--run-dir", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["recipe"] == "toy"
    assert {line.partition(":")[0] for line in ended.stderr.splitlines()} == {"data", "profile"}
