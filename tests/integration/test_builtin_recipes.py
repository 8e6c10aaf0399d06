"""The built-in recipes of the field's teaching material, as far as their data are on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import pipeline
from pipeline.commands.build import plan
from pipeline.errors import DataError, UsageError
from tests.cifar_files import put_archive


@pytest.fixture(autouse=True)
def _no_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture
def few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of the publisher's form with a few pictures."""
    put_archive(tmp_path / "data", monkeypatch)


def figures(run: Path) -> tuple[int, float]:
    """Number of parameters, and accuracy on validation."""
    facts = json.loads((run / "train" / "model.json").read_text())
    history = json.loads((run / "train" / "history.json").read_text())
    return facts["parameters"], history["final"]["validation"]["accuracy"]


def test_toy_is_right_about_all_rows_in_a_few_epochs(tmp_path: Path) -> None:
    pipeline.train("toy", run_dir=tmp_path / "run")
    assert figures(tmp_path / "run") == (752, 1.0)


def test_a_perceptron_of_2213_parameters(tmp_path: Path) -> None:
    pipeline.train("mlp-50-30-20-3", run_dir=tmp_path / "run")
    parameters, accuracy = figures(tmp_path / "run")
    assert parameters == 2213
    assert accuracy > 0.8


@pytest.mark.usefixtures("few_pictures")
def test_a_resnet_on_cifar_10(tmp_path: Path) -> None:
    overrides = ("train.epochs=1", "data.validation_size=20")
    pipeline.train("cifar10-resnet18", run_dir=tmp_path / "run", overrides=overrides)
    assert figures(tmp_path / "run")[0] == 11_181_642
    assert (tmp_path / "run" / "train" / "augmentation.png").is_file()


def test_what_is_not_to_be_had_is_said_with_what_was_tried_and_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-10: .* tried .*-binary.tar.gz \(no such file\); http.* copy it"):
        pipeline.train("cifar10-resnet18", run_dir=tmp_path / "run")
    with pytest.raises(DataError, match=r"-11ad3fa6.pth \(no such file\); http.* put resnet50-11ad3fa6.pth"):
        pipeline.train("transfer-resnet50", run_dir=tmp_path / "run")


def test_a_plan_fetches_nothing_and_says_what_will_be(tmp_path: Path) -> None:
    planned = {step.stage: step for step in plan("transfer-resnet50", run_dir=tmp_path / "run")}
    assert planned["train"].action == "would run"
    assert planned["train"].reason.startswith(
        "model.weights torchvision:ResNet50_Weights.IMAGENET1K_V2 is not on this machine, and is fetched from http"
    )
    assert not (tmp_path / "weights").exists()
    with pytest.raises(UsageError, match="did you mean ResNet50_Weights"):
        plan("transfer-resnet50", overrides=["model.weights=torchvision:ResNet5_Weights.IMAGENET1K_V2"])
