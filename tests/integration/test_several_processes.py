"""Several processes train one network: they learn what one process does, one of them speaks, and all end together."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from pipeline.commands import build as builder
from pipeline.commands.train import train
from pipeline.errors import JobError, UsageError
from tests.several_processes import Ended, Job, command, commands, run_job
from tests.shared_trainings import DROPOUT, WAYS, share_ways, train_ways

# Relative difference of any loss of any epoch between one process and several: both add up the same numbers, in another
# order. After three epochs of these trainings it is 1e-6 at most, but in bf16, where a rounding is 4e-3.
TOLERANCE = 1e-5
BF16_TOLERANCE = 2e-2
EPOCHS = 40
TOY = ["train", "toy", "--set", f"train.epochs={EPOCHS}"]


def _losses(outcome: dict[str, Any]) -> list[float]:
    epochs = outcome["epochs"]
    return [epoch[split][key] for epoch in epochs for split, key in (("train", "loss"), ("validation", "plain_loss"))]


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_learn_what_one_does(tmp_path: Path, count: int) -> None:
    ended = run_job(tmp_path, share_ways, tmp_path, count=count)
    assert [member.code for member in ended] == [0] * count, ended
    shared = [json.loads((tmp_path / f"outcomes-{rank}.json").read_text()) for rank in range(count)]
    assert all(outcomes == shared[0] for outcomes in shared)
    alone = train_ways(tmp_path)
    for name in WAYS:
        together, one = shared[0][name], alone[name]
        assert together["processes"] == [count] * len(one["epochs"])
        assert one["processes"] == [1] * len(one["epochs"])
        if name == DROPOUT:  # each process drops its own
            assert together["weights"] != one["weights"]
            continue
        tolerance = BF16_TOLERANCE if name == "bf16" else TOLERANCE
        assert _losses(together) == pytest.approx(_losses(one), rel=tolerance), name
        assert together["kept"] == one["kept"]
    for rank in range(1, count):
        assert not [path for path in (tmp_path / f"files-{rank}").rglob("*") if path.is_file()]


def _lines(member: Ended) -> list[str]:
    return [line for line in member.stderr.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """The run directory of a training by two processes, and how they ended."""
    folder = tmp_path_factory.mktemp("whole")
    return folder / "run", run_job(folder / "said", command, [*TOY, "--run-dir", str(folder / "run")])


def test_process_0_alone_speaks_and_writes(whole: tuple[Path, list[Ended]]) -> None:
    run_dir, (first, second) = whole
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert first.stdout == f"{run_dir}/train/weights.safetensors\n"
    assert "train: 2 processes, each of which takes its part of every batch" in first.stderr
    assert (second.stdout, second.stderr) == ("", "")
    history = json.loads((run_dir / "train" / "history.json").read_text())
    assert history["processes"] == 2
    alone = train("toy", run_dir=run_dir.parent / "alone", overrides=[f"train.epochs={EPOCHS}"])
    by_one = json.loads(alone.history.read_text())
    assert "processes" not in by_one
    assert _losses_of(history) == pytest.approx(_losses_of(by_one), rel=1e-4)
    names = sorted(path.name for path in run_dir.rglob("*"))
    assert names == sorted(path.name for path in (run_dir.parent / "alone").rglob("*"))


def _losses_of(history: dict[str, Any]) -> list[float]:
    return [epoch["train"]["loss"] for epoch in history["epochs"]]


def test_a_build_goes_on_from_there(whole: tuple[Path, list[Ended]]) -> None:
    run_dir, _ = whole
    steps = builder.plan("toy", run_dir=run_dir, overrides=[f"train.epochs={EPOCHS}"])
    assert [(step.stage, step.action) for step in steps[:2]] == [("data", "up to date"), ("train", "up to date")]


def test_a_killed_process_ends_the_job_with_one_line_and_the_next_run_goes_on(
    whole: tuple[Path, list[Ended]], tmp_path: Path
) -> None:
    arguments = [*TOY, "--run-dir", str(tmp_path / "run")]
    with Job(tmp_path / "killed", command, arguments) as job:
        job.wait_for("epoch 3/")
        pid = job.processes[1].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        first, second = job.ended()
    assert first.code == JobError.exit_code
    (line,) = _lines(first)
    assert line.startswith("error: process 1 of 2 (on ")
    assert f", pid {pid}) ended without a word: killed, or its machine is lost; it goes on from its last" in line
    assert "Traceback" not in first.stderr
    assert (second.stdout, second.stderr) == ("", "")
    first, second = run_job(tmp_path / "again", command, arguments)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert "train: continues after epoch " in first.stderr
    assert "instead of" not in first.stderr
    files = [folder / "train" / "weights.safetensors" for folder in (whole[0], tmp_path / "run")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert load_file(files[0])


def test_what_cannot_be_is_told_once(tmp_path: Path) -> None:
    arguments = [*TOY, "--run-dir", str(tmp_path / "run"), "--set", "train.batch_size=1"]
    first, second = run_job(tmp_path / "small", command, arguments)
    assert (first.code, second.code) == (UsageError.exit_code, UsageError.exit_code)
    (line,) = _lines(first)
    assert line.startswith("error: train.batch_size = 1: expected 2 or more for 2 processes")
    assert (second.stdout, second.stderr) == ("", "")
    each = [[*TOY, "--run-dir", str(tmp_path / "run"), "--set", f"train.seed={rank}"] for rank in range(2)]
    first, second = run_job(tmp_path / "other", commands, each)
    assert (first.code, second.code) == (UsageError.exit_code, UsageError.exit_code)
    (line,) = _lines(second)
    assert "setting train.seed: expected 0 as process 0 has it, found 1; run the same command" in line
    assert _lines(first) == []
    first, second = run_job(tmp_path / "build", command, ["build", "toy"])
    assert (first.code, second.code) == (UsageError.exit_code, UsageError.exit_code)
    (line,) = _lines(first)
    assert line.startswith("error: pipeline build in 2 processes: expected one; ")
    assert (second.stdout, second.stderr) == ("", "")
