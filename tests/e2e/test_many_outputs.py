"""A network of two inputs and outputs of several shapes, built, served and asked over HTTP."""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

import pipeline
from pipeline.archive.mar import read_archive
from pipeline.serving.lifecycle import running_server

NETS = """
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Output:
    scores: Tensor
    heat: Tensor
    level: Tensor
    hidden_states: tuple | None = None


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.first, self.trunk = nn.Linear(16, 64), nn.Linear(64, 32)
        self.scores, self.heat, self.level = nn.Linear(32, 3), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, values: Tensor, tokens: Tensor) -> Output:
        both = torch.cat([values, self.words(tokens).mean(1)], 1)
        trunk = self.trunk(self.first(both).relu()).relu()
        level = 1e-3 * self.level(trunk)[:, 0]
        return Output(self.scores(trunk), self.heat(trunk).view(-1, 2, 4, 4), level, (trunk,))


def build() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net()
"""

DATA = """
import numpy as np

from pipeline import DataSet, InputSpec


def load() -> DataSet:
    draw = np.random.default_rng(0)
    inputs = {"values": draw.normal(0, 1, (600, 8)).astype(np.float32), "tokens": draw.integers(0, 20, (600, 6))}
    specs = [
        InputSpec(name="values", dtype="float32", shape=(8,), low=-np.inf, high=np.inf),
        InputSpec(name="tokens", dtype="int64", shape=(6,), low=0, high=19),
    ]
    return DataSet.from_arrays("pairs", inputs, specs=specs, task="outputs")
"""

RECIPE = """
name = "many"
[model]
factory = "nets:build"
[data]
factory = "pairs:load"
[task]
kind = "outputs"
[train]
epochs = 0
[candidates]
formats = ["onnx"]
[[candidates.variants]]
name = "int8"
passes = [{ kind = "static-int8" }]
[[candidates.variants]]
name = "slim"
passes = [{ kind = "channel-pruning", keep = 0.5 }, { kind = "fine-tune", epochs = 1 }]
[measure]
rounds = 6
batch_sizes = [1]
block_ms = 5
[verify]
samples = 32
batch_sizes = [1, 7]
[smoke]
pictures = 4
"""
SHAPES = {"scores": [3], "heat": [2, 4, 4], "level": [], "hidden_states.0": [32]}


def expected(folder: Path, values: list[float], tokens: list[int]) -> Any:
    spec = importlib.util.spec_from_file_location("many_nets", folder / "nets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        return module.build().eval()(torch.tensor([values]), torch.tensor([tokens]))


def test_outputs_are_built_proven_served_and_asked_by_name(tmp_path: Path) -> None:
    for name, text in (("nets.py", NETS), ("pairs.py", DATA), ("many.toml", RECIPE)):
        (tmp_path / name).write_text(text)
    result = pipeline.build(tmp_path / "many.toml", run_dir=tmp_path / "run", model_store=tmp_path / "store")
    rows = {row.report.name: row for row in result.candidates}
    assert {name.partition(".")[0] for name in rows} == {"float", "int8", "slim"}
    int8 = rows["int8.onnx.int8-static"].report
    assert int8.quality.accuracy > 0.9, "within 5 % of each output's own spread"
    assert {figure.name.partition(" (")[0] for figure in int8.quality.figures} == {
        f"largest difference of {name}" for name in SHAPES
    }
    assert rows["slim.onnx.fp32"].report.passes[0].removed_weight_share > 0.2, "heads and hidden states keep channels"
    graph = onnx.load(tmp_path / "run" / "candidates" / "float.onnx.fp32" / "model.onnx").graph
    assert [value.name for value in graph.output] == list(SHAPES)
    archive = read_archive(result.archive)
    assert archive.serving.labels == tuple(SHAPES)
    values, tokens = [0.5] * 8, [1, 2, 3, 4, 5, 6]
    with running_server(archive, trust=True) as server:
        request = urllib.request.Request(  # noqa: S310 - this host's own address
            f"{server.url}/predictions/many",
            json.dumps({"instances": [{"values": values, "tokens": tokens}]}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            [answer] = json.load(response)["predictions"]
    assert {name: list(np.shape(tensor)) for name, tensor in answer["outputs"].items()} == SHAPES
    tensors = expected(tmp_path, values, tokens)
    for name, tensor in (("scores", tensors.scores), ("heat", tensors.heat), ("level", tensors.level)):
        limit = 0.05 * max(np.ptp(tensor.numpy()), float(tensor.abs().max()))
        assert np.abs(np.array(answer["outputs"][name]) - tensor[0].numpy()).max() <= limit, name
