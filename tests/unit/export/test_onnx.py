from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.errors import ProofError, UsageError
from pipeline.export.onnx import export_onnx
from pipeline.models.preprocess import Each, ToFloat, Unchanged
from pipeline.models.spec import DeployableOfSeveral

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

PREPROCESSING = {"Cast": 1, "Mul": 1, "Add": 1}
VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-1.0, high=1.0)


def test_the_fashion_cnn_has_exactly_these_operators(exported: Exported) -> None:
    operators = Counter(node.op_type for node in onnx.load(exported.folder / "float.onnx").graph.node)
    assert operators - Counter(PREPROCESSING) == {"Conv": 2, "MaxPool": 2, "Relu": 3, "Reshape": 1, "Gemm": 2}


def test_names_types_and_a_dynamic_batch_axis(exported: Exported) -> None:
    model = onnx.load(exported.folder / "float.onnx")
    (pixels,), (logits,) = model.graph.input, model.graph.output
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("pixels", onnx.TensorProto.UINT8)
    assert (logits.name, logits.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert [axis.dim_param or axis.dim_value for axis in pixels.type.tensor_type.shape.dim] == ["batch", 1, 28, 28]
    assert [axis.dim_param or axis.dim_value for axis in logits.type.tensor_type.shape.dim] == ["batch", 10]
    assert [(operators.domain, operators.version) for operators in model.opset_import] == [("", 20)]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_it_answers_any_batch(exported: Exported, batch: int) -> None:
    session = import_onnx_runtime().InferenceSession(exported.folder / "float.onnx", providers=["CPUExecutionProvider"])
    pixels = exported.pictures[:batch]
    with torch.no_grad():
        expected = exported.module(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], expected, atol=1e-5)


def test_no_source_path_but_the_users_own_names(exported: Exported) -> None:
    content = (exported.folder / "float.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    for trace in (b"/", b"\\"):
        assert trace + b"fashion.py" not in content
    assert b"site-packages" not in content
    assert b"stack_trace" not in content
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    kept = {entry.key: entry.value for entry in convolution.metadata_props}
    assert "'network.features.0'" in kept["pkg.torch.onnx.name_scopes"]
    assert "FashionCNN" in kept["pkg.torch.onnx.class_hierarchy"]


def test_one_file_with_the_same_bytes(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    export_onnx(exported.module, Path("again.onnx"), inputs=exported.inputs, example=exported.example, opset=20)
    assert Path("again.onnx").read_bytes() == (exported.folder / "float.onnx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.onnx"]


def test_a_network_in_training_mode_is_refused(exported: Exported, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).eval()
    module[1].train()
    with pytest.raises(
        ProofError, match="export to ONNX: expected every module in evaluation mode, found 1 in training"
    ):
        export_onnx(module, tmp_path / "m.onnx", inputs=exported.inputs, example=exported.example, opset=20)
    assert list(tmp_path.iterdir()) == []


def test_an_example_of_one_row_is_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an example of 2 rows or more, found 1"):
        export_onnx(
            exported.module, tmp_path / "m.onnx", inputs=exported.inputs, example=(exported.example[0][:1],), opset=20
        )


class FixedBatch(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.reshape(2, 3) * 2


class Branching(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + 1 if values.sum().item() > 0 else values


def test_a_frozen_batch_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="dynamic batch axis on every input and output, found values with a first axis of 2"
    ):
        export_onnx(FixedBatch().eval(), tmp_path / "m.onnx", inputs=(VALUES,), example=(torch.ones(2, 3),), opset=20)
    assert list(tmp_path.iterdir()) == []


def test_what_torch_cannot_export_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"export to ONNX: expected a network that torch\.onnx\.export takes at opset 20"
    ) as e:
        export_onnx(Branching().eval(), tmp_path / "m.onnx", inputs=(VALUES,), example=(torch.ones(2, 3),), opset=20)
    assert "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.linear = nn.Linear(7, 2)

    def forward(self, tokens: Tensor, values: Tensor) -> Tensor:
        result: Tensor = self.linear(torch.cat([self.embedding(tokens).mean(1), values], dim=1))
        return result


def test_several_inputs_and_an_axis_of_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = DeployableOfSeveral(preprocess=Each([Unchanged(), ToFloat()]), network=TwoInputs()).eval()
    inputs = (
        InputSpec(name="tokens", dtype="int64", shape=(6,), low=0, high=8, dynamic_axes=(0,)),
        InputSpec(name="values", dtype="uint8", shape=(3,), low=0, high=255),
    )
    example = (torch.ones(2, 6, dtype=torch.int64), torch.ones(2, 3, dtype=torch.uint8))
    export_onnx(module, tmp_path / "two.onnx", inputs=inputs, example=example, opset=20)
    session = import_onnx_runtime().InferenceSession(tmp_path / "two.onnx", providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == ["tokens", "values"]
    tokens, values = torch.randint(0, 9, (5, 4)), torch.randint(0, 256, (5, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = module(tokens, values).numpy()
    logits = session.run(None, {"tokens": tokens.numpy(), "values": values.numpy()})[0]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)


class ByRoot(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values / math.sqrt(int(values.shape[1]))


def test_a_free_axis_that_the_exporter_fixed_is_refused(tmp_path: Path) -> None:
    spec = replace(VALUES, dynamic_axes=(0,))
    with pytest.raises(
        UsageError,
        match="expected axis 0 of input values to be free, as its dynamic_axes declares, found it fixed at 3",
    ):
        export_onnx(ByRoot().eval(), tmp_path / "m.onnx", inputs=(spec,), example=(torch.ones(2, 3),), opset=20)
    assert list(tmp_path.iterdir()) == []


class Masked(nn.Module):
    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return (tokens * mask).sum(1, keepdim=True)


def test_inputs_share_an_axis_of_one_name(tmp_path: Path) -> None:
    tokens = replace(VALUES, dynamic_axes=(0,), dynamic_names=("the length",))
    inputs = (tokens, replace(tokens, name="mask"))
    example = (torch.ones(2, 3), torch.ones(2, 3))
    export_onnx(Masked().eval(), tmp_path / "m.onnx", inputs=inputs, example=example, opset=20)
    sizes = [value.type.tensor_type.shape.dim[1].dim_param for value in onnx.load(tmp_path / "m.onnx").graph.input]
    assert sizes == ["size0_the_length"] * 2
