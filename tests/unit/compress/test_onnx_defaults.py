"""A quantized file is run by a default session of ONNX Runtime as it stands: same answers, and no step more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.compress import onnx_static
from pipeline.compress.onnx_defaults import changed_by_defaults
from pipeline.compress.onnx_static import quantize_file
from pipeline.export.onnx import export_onnx

# The steps that change a graph; without them it runs as it was written.
HARMFUL = ["WeightBiasQuantization", "QDQPropagationTransformer"]


class Mixed(nn.Module):
    """Layers that may stay in float at each place: in front of another, of pooling, of slicing, in the middle."""

    def __init__(self, *, sliced: bool) -> None:
        super().__init__()
        self.sliced = sliced
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.hidden = nn.Linear(8 * 4 * (3 if sliced else 4), 16)
        self.middle = nn.Linear(16, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        values = torch.relu(self.first(pixels))
        values = torch.max_pool2d(torch.relu(self.second(values)), 2)
        values = self.third(values)
        if self.sliced:
            values = values[:, :, :, 1:]
        values = torch.relu(self.hidden(values.flatten(1)))
        logits: Tensor = self.head(torch.relu(self.middle(values)))
        return logits


@pytest.fixture(scope="module")
def examples() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(48, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, examples: NDArray[np.float32]) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    for name, sliced in (("whole.onnx", False), ("sliced.onnx", True)):
        torch.manual_seed(0)
        export_onnx(
            Mixed(sliced=sliced).eval(),
            folder / name,
            inputs=(InputSpec(name="pixels", dtype="float32", shape=(3, 8, 8), low=-np.inf, high=np.inf),),
            example=(torch.from_numpy(examples[:2]),),
            opset=20,
        )
    return folder


KEPT = [(), ("first",), ("second",), ("third",), ("middle",), ("first", "second"), ("second", "third", "middle")]


def quantized(source: Path, target: Path, examples: NDArray[np.float32], **settings: Any) -> str:
    report = quantize_file(
        source, target, examples={"pixels": examples}, method="minmax", reduce_range=True, **settings
    )
    return report.detail


def session(file: Path, *, left_out: list[str], saved: Path | None = None) -> Any:
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if saved is not None:
        options.optimized_model_filepath = str(saved)
    return onnxruntime.InferenceSession(
        str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out
    )


def operators(file: Path) -> list[str]:
    # A layer that was fused with the activation behind it does the same work; reshaping is free, wherever it happens.
    names = [node.op_type.removeprefix("Fused") for node in onnx.load(file).graph.node]
    return [name for name in names if name != "Reshape"]


@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("keep", KEPT, ids=lambda keep: "-".join(keep) or "nothing")
def test_a_default_session_runs_a_file_as_it_was_written(
    folder: Path, examples: NDArray[np.float32], tmp_path: Path, keep: tuple[str, ...], activations: str
) -> None:
    file = tmp_path / "int8.onnx"
    detail = quantized(folder / "whole.onnx", file, examples, keep=keep, activations=activations)
    assert "default session" not in detail
    as_written = session(file, left_out=HARMFUL, saved=tmp_path / "written.onnx")
    default = session(file, left_out=[], saved=tmp_path / "default.onnx")
    assert operators(tmp_path / "default.onnx") == operators(tmp_path / "written.onnx")
    for size in (1, 7, 48):
        batch = {"pixels": examples[:size]}
        np.testing.assert_array_equal(default.run(None, batch)[0], as_written.run(None, batch)[0])


@pytest.mark.parametrize(
    ("network", "keep", "clause"),
    [
        ("whole.onnx", ("second",), "a default session quantizes in front of node_max_pool2d"),
        ("sliced.onnx", ("third",), "a default session quantizes in front of node_slice"),
        ("whole.onnx", ("middle",), "a default session quantizes the weights of node_linear_1"),
    ],
)
def test_a_file_that_a_default_session_changes_says_so(
    folder: Path,
    examples: NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: str,
    keep: tuple[str, ...],
    clause: str,
) -> None:
    monkeypatch.setattr(onnx_static, "hold_against_defaults", lambda _model: None)
    detail = quantized(folder / network, tmp_path / "int8.onnx", examples, keep=keep, activations="uint8")
    assert f"; {clause}" in detail
    monkeypatch.undo()
    quantized(folder / network, tmp_path / "held.onnx", examples, keep=keep, activations="uint8")
    written, held = onnx.load(tmp_path / "int8.onnx"), onnx.load(tmp_path / "held.onnx")
    assert changed_by_defaults(written)
    assert changed_by_defaults(held) == ()
    # What holds it changes no answer, in whatever runtime.
    batch = {"pixels": examples}
    answers = [session(tmp_path / f"{name}.onnx", left_out=HARMFUL).run(None, batch)[0] for name in ("int8", "held")]
    np.testing.assert_array_equal(*answers)
