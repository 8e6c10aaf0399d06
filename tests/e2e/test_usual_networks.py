"""A default build of usual networks ends well: what cannot be proven of them is a row with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline

NETS = '''
import torch
import torchvision
from torch import Tensor, nn


class Encoder(nn.Module):
    """Two transformer layers over the rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(24, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        rows = pictures[:, :, ::8, ::8].transpose(1, 2).flatten(2)
        return self.head(self.body(self.rows(rows)).mean(1))


def build(name: str) -> nn.Module:
    if name == "encoder":
        return Encoder()
    more = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
    return getattr(torchvision.models, name)(num_classes=10, **more)
'''

DATA = '''
import numpy as np
from sklearn.datasets import load_digits

from pipeline import DataSet, InputSpec


def load(size: int) -> DataSet:
    """Eight by eight pixels, each of them a square of `size` / 8, in three channels."""
    digits = load_digits()
    pixels = (digits.images[:900] * 15.9).astype(np.uint8)
    pictures = pixels[:, None].repeat(size // 8, 2).repeat(size // 8, 3).repeat(3, 1)
    spec = InputSpec(name="pixels", dtype="uint8", shape=(3, size, size), low=0, high=255)
    names = [str(digit) for digit in range(10)]
    return DataSet.from_arrays("digits", {"pixels": pictures}, digits.target[:900], classes=names, specs=[spec])
'''

RECIPE = """
[model]
factory = "nets:build"
[model.preprocessing]
scale = 0.00392156862745098
mean = [0.5]
std = [0.25]
[data]
factory = "pictures:load"
[train]
epochs = 1
batch_size = 64
[search]
max_minutes = 0.5
[measure]
rounds = 6
batch_sizes = [1]
block_ms = 5
"""

NETWORKS = (
    "encoder",
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "regnet_x_400mf",
    "mnasnet0_5",
    "inception_v3",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_default_build_of_a_usual_network_ends_well(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "nets.py").write_text(NETS)
    (folder / "pictures.py").write_text(DATA)
    (folder / "recipe.toml").write_text(RECIPE)
    size = 96 if name == "inception_v3" else 64
    result = pipeline.build(
        folder / "recipe.toml",
        run_dir=tmp_path / "run",
        model_store=tmp_path / "store",
        overrides=[f"model.arguments.name={name}", f"data.arguments.size={size}"],
    )
    for row in result.candidates:
        print(f"{name}: {row.report.name}: {row.verdict.text}, {row.outcome}")  # noqa: T201 - the table of this test
    for absent in result.unproven:
        print(f"{name}: {absent.name}: {absent.verdict}: {absent.reason}")  # noqa: T201
    verdicts = {row.report.name: row.verdict.text for row in result.candidates}
    assert verdicts["float.onnx.fp32"] == verdicts["float.torchscript.fp32"] == "lossless"
    assert result.archive.is_file()
    # Whatever a default build tries has figures, or says why not.
    tried = {*verdicts, *(absent.name for absent in result.unproven)}
    assert {"float.onnx.int8-static", "float.onnx.int8-dynamic", "float.torchscript.int8-dynamic"} <= tried
    assert len(verdicts) > 2
    assert all(absent.reason for absent in result.unproven)
