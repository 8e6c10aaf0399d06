"""A network that tells two classes apart by one output: built, proven, packed and asked like a network of two."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer

import pipeline
from pipeline.commands.verify_run import verify_run
from pipeline.models.weights import load_weights
from tests.reporters import Lines

RECIPE = """
[model]
factory = "single_output:build"
arguments = {{ ending = "{ending}" }}
{activation}
[data]
table = "cells.csv"
targets = ["kind"]
[train]
epochs = 6
batch_size = 32
[[candidates.variants]]
name = "float"
passes = [{{ kind = "static-int8" }}]
[[candidates.variants]]
name = "slim"
passes = [{{ kind = "channel-pruning", keep = 0.5 }}, {{ kind = "fine-tune", epochs = 2, batch_size = 32 }}]
[verify]
samples = 32
batch_sizes = [1, 7]
[measure]
rounds = 6
block_ms = 5
[smoke]
pictures = 8
[search]
effort = "off"
[budget]
max_accuracy_drop = 0.2
"""
MODULE = """
from torch import nn

def build(ending):
    last = nn.Flatten(0) if ending == "logit" else nn.Sigmoid()
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), last)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["logit", "probability"])
def test_one_output_is_proven_like_two(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    data = load_breast_cancer()
    kinds = np.array(["yes", "no"])[data.target]  # 0 is malignant; classes are sorted, so that the output is of `yes`
    with (tmp_path / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [[*data.feature_names, "kind"], *([*row, kind] for row, kind in zip(data.data, kinds, strict=True))]
        )
    (tmp_path / "single_output.py").write_text(MODULE)
    activation = "" if ending == "logit" else 'activation = "sigmoid"'
    (tmp_path / "recipe.toml").write_text(RECIPE.format(ending=ending, activation=activation))
    told, run = Lines(), tmp_path / "run"
    result = pipeline.build(tmp_path / "recipe.toml", run_dir=run, model_store=tmp_path / "store", reporter=told)
    assert f"train: the network's one output counts as the {ending} of class yes" in told.said
    reports = {row.report.name: row.report for row in result.candidates}
    for name in ("float.onnx.fp32", "float.torchscript.fp32"):
        assert (reports[name].quality.flips, reports[name].quality.accuracy > 0.9) == (0, True)
    assert {"float.onnx.int8-static", "slim.onnx.fp32"} <= set(reports)
    verify_run(run).require()

    network = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    state = run / "train" / "weights.safetensors"
    load_weights(state, network)
    statistics = json.loads((run / "data" / "data.json").read_text())["statistics"]
    values = (data.data - np.array(statistics["mean"])) / np.array(statistics["std"])
    with torch.no_grad():
        chances = network(torch.from_numpy(values.astype(np.float32))).sigmoid().flatten().numpy()
    pipeline.predict_archive(result.archive, data=tmp_path / "cells.csv", out=tmp_path / "answers.csv")
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    decided = [row["label"] for row in rows]
    assert np.mean(np.array(decided) == np.where(chances > 0.5, "yes", "no")) > 0.97  # a lossy file may be packed
    assert np.mean(np.array(decided) == kinds) > 0.9
