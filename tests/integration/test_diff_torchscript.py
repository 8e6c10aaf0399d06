"""A TorchScript file has lost its modules: it runs once, and its operators are matched with the names of the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import pipeline
from pipeline._handlers.decode import InputSpec
from pipeline.export.onnx import export_onnx
from pipeline.export.torchscript import export_torchscript
from pipeline.inspection.graph_comparison import GraphComparison

INPUTS = (InputSpec(name="values", dtype="float32", shape=(3, 8, 8), low=-4.0, high=4.0),)


class Small(nn.Module):
    """A convolution, a norm that exporters fold, an activation, a pool, and a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU()
        self.head = nn.Linear(channels, 5)

    def forward(self, values: Tensor) -> Tensor:
        pooled: Tensor = self.act(self.norm(self.stem(values))).mean((2, 3))
        logits: Tensor = self.head(pooled)
        return logits


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    example = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)
    for channels in (8, 4):
        torch.manual_seed(channels)
        network = Small(channels).eval()
        export_torchscript(network, folder / f"{channels}.pt", example=example)
        if channels == 8:
            export_onnx(network, folder / "8.onnx", inputs=INPUTS, example=example, opset=20)
    save_file({"input.values": example[0]}, folder / "samples.safetensors")
    return folder


def words(comparison: GraphComparison) -> dict[str, list[str]]:
    return {row.name: [change.words for change in row.changes] for row in comparison.rows if row.changes}


def test_operators_have_the_names_of_the_other_file(files: Path) -> None:
    comparison = pipeline.diff(files / "8.onnx", files / "4.pt")
    assert words(comparison) == {
        "stem": ["narrowed: 8 to 4 channels"],
        "head": ["narrowed: takes 8 to 4 features"],
    }
    assert comparison.after.parameters == 4 * 27 + 4 + 5 * 4 + 5
    assert comparison.after.macs == 64 * 4 * 27 + 5 * 4
    assert comparison.before.time is not None
    assert "no profiler tells which layer" in comparison.after.time_note
    assert all(row.largest_difference is None for row in comparison.rows)


@pytest.mark.slow
def test_two_files_without_names_are_matched_in_order(files: Path) -> None:
    comparison = pipeline.diff(files / "8.pt", files / "4.pt", samples=files / "samples.safetensors")
    assert words(comparison) == {
        "Conv": ["narrowed: 8 to 4 channels"],
        "Gemm": ["narrowed: takes 8 to 4 features"],
    }


def test_without_inputs_files_are_compared_as_wholes(files: Path) -> None:
    for comparison in (
        pipeline.diff(files / "8.pt", files / "4.pt"),
        pipeline.diff(files / "8.onnx", files / "4.pt", run=False),
    ):
        assert comparison.rows == ()
        assert comparison.before.size > comparison.after.size
        assert any("compared as wholes" in note for note in comparison.notes)
