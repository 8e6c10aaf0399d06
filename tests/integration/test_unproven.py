"""What cannot be made of a network or is not proven: rows of a build that ends well with what is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.commands.bench.targets import open_target
from pipeline.commands.evidence import evidence
from pipeline.commands.report import report
from pipeline.commands.verify_archive import verify_archive
from pipeline.errors import UsageError
from tests.reporters import Lines

# ONNX knows no singular values; no bound on validation speaks of the third class.
SINGULAR = """
import numpy as np
import torch
from torch import Tensor, nn
from pipeline import DataSet, InputSpec, Split

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, values: Tensor) -> Tensor:
        return self.head(torch.linalg.svdvals(values.reshape(-1, 2, 2)))

def build():
    return Net()

def split(count, classes, seed):
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    values = draw.normal(size=(count, 4)) * (1 + 3 * labels[:, None])
    return Split(inputs={"values": values.astype(np.float32)}, labels=labels.astype(np.int64))

def load():
    spec = InputSpec(name="values", dtype="float32", shape=(4,), low=-99, high=99)
    return DataSet(name="matrices", train=split(900, 3, 0), validation=split(400, 2, 1), test=split(400, 2, 2),
                   classes=("small", "middle", "large"), inputs=(spec,))
"""
RECIPE = """
name = "matrices"
[model]
factory = "singular:build"
[data]
factory = "singular:load"
[train]
epochs = 2
[verify]
samples = 32
batch_sizes = [1, 2]
[measure]
rounds = 6
block_ms = 5
batch_sizes = [1]
[smoke]
pictures = 2
"""


@pytest.mark.slow
def test_a_network_that_onnx_cannot_hold_is_shipped_as_torchscript(tmp_path: Path) -> None:
    (tmp_path / "singular.py").write_text(SINGULAR)
    recipe, run_dir, said = tmp_path / "recipe.toml", tmp_path / "run", Lines()
    recipe.write_text(RECIPE)
    result = pipeline.build(recipe, run_dir=run_dir, model_store=tmp_path, reporter=said)
    assert {row.report.format for row in result.candidates} == {"torchscript"}
    assert result.baseline == "float.torchscript.fp32"
    rows = {row.name: row for row in result.unproven}
    static = "float.onnx.int8-static"
    assert {"float.onnx.fp32", "float.onnx.int8-dynamic", static} < rows.keys()
    assert {row.verdict for row in rows.values()} == {"cannot be made"}
    assert "_linalg_svd" in rows["float.onnx.fp32"].reason
    assert any(line.startswith("search: none, for its networks are made in ONNX") for line in said.said)
    missing = (
        "validation holds no example of class large: no figure there speaks of it, and all of it may be lost unseen"
    )
    assert said.said.index(f"data: {missing}") < said.said.index("train: not built yet")
    assert report(run_dir, model_store=tmp_path).unproven == result.unproven

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "verify", str(run_dir)], capture_output=True, text=True, check=True
    )
    assert "float.torchscript.fp32: same as its torch module" in done.stdout
    assert f"{static}: no file was kept, cannot be made: float.onnx.fp32 cannot be made" in done.stdout
    assert f"Of the build's verdicts: {missing}." in done.stdout
    target = open_target(run_dir, tmp_path)
    assert (target.baseline, target.left_out[static]) == ("float.torchscript.fp32", "cannot be made")

    card = str(evidence(result.archive, form="markdown"))
    assert f"| {static} | - | - | - | - | - | cannot be made |" in card
    assert "- validation holds no example of class large: " in card
    (test,) = verify_archive(result.archive, data=run_dir / "data" / "test.safetensors").quality
    assert test.gaps[0].startswith("test.safetensors holds no example of class large: ")

    # A format that the recipe names, and a candidate in it, are counted on; the candidates are there already.
    for named in ('candidates.formats=["torchscript","onnx"]', f"select.candidate={static}"):
        with pytest.raises(UsageError, match=r"float\.onnx\.(fp32|int8-static): .*; (set candidates|name another)"):
            pipeline.build(recipe, run_dir=run_dir, model_store=tmp_path, overrides=[named])
