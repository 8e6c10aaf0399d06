"""The built-in recipes of the field's teaching material, as far as their data are on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline
from pipeline.data import cifar10, cifar10_files
from pipeline.errors import DataError


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
    path = tmp_path / "data" / "cifar-10" / cifar10_files.FILE
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for seed, member in enumerate((*cifar10.TRAIN, *cifar10.TEST)):
            values = np.random.default_rng(seed).integers(0, 256, (20, 3073), dtype=np.uint8)
            values[:, 0] = np.arange(20) % 10
            facts = tarfile.TarInfo(member)
            facts.size = values.nbytes
            tar.addfile(facts, io.BytesIO(values.tobytes()))
    monkeypatch.setattr(cifar10_files, "MD5", hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())


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
