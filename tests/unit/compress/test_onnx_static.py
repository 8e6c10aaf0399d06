from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline.checks.reference import module_reference
from pipeline.compress.onnx_static import quantize_file
from pipeline.compress.pass_effect import PassReport
from pipeline.data.free_axis_sizes import resized
from pipeline.errors import UsageError
from pipeline.export.onnx import export_onnx
from pipeline.inspection.graph import graph_cost

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def quantized(exported: Exported, file: Path, **settings: Any) -> PassReport:
    defaults: dict[str, Any] = {"method": "minmax", "activations": "uint8", "reduce_range": True}
    examples = {"pixels": exported.pictures[:40]}
    return quantize_file(exported.folder / "float.onnx", file, examples=examples, **{**defaults, **settings})


def tensors(file: Path) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


def test_pixels_in_logits_out_and_int8_between(exported: Exported, tmp_path: Path) -> None:
    report = quantized(exported, tmp_path / "int8.onnx")
    model = onnx.load(tmp_path / "int8.onnx")
    makers = {name: node for node in model.graph.node for name in node.output}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    logits = makers[model.graph.output[0].name]
    assert logits.op_type == "Gemm", "int8 logits would make ties"
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    preprocessing = [node.op_type for node in model.graph.node if node.op_type in ("Cast", "Mul", "Add")]
    assert preprocessing == ["Cast", "Mul", "Add"]
    assert makers[next(node for node in model.graph.node if node.op_type == "Mul").input[0]].op_type == "Cast"
    assert [layer.touched for layer in report.layers] == [True] * 4
    assert report.compute_share == 1.0
    assert report.detail == (
        "int8 weights (7 bits) per output channel, uint8 activations, minmax over 40 training examples (ONNX Runtime)"
    )


def test_weights_have_7_bits_unless_asked_otherwise_and_a_scale_per_channel(exported: Exported, tmp_path: Path) -> None:
    quantized(exported, tmp_path / "seven.onnx")
    quantized(exported, tmp_path / "eight.onnx", reduce_range=False)
    for name, largest in (("seven.onnx", 64), ("eight.onnx", 127)):
        values = tensors(tmp_path / name)
        weights = {key: value for key, value in values.items() if key.endswith(".weight_quantized")}
        assert [values[key.replace("_quantized", "_scale")].shape for key in sorted(weights)] == [
            (512,),
            (10,),
            (32,),
            (64,),
        ]
        assert max(int(np.abs(value.astype(int)).max()) for value in weights.values()) == largest


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_the_same_file_and_examples_give_the_same_bytes(
    exported: Exported, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.onnx", "two.onnx"):
        quantized(exported, tmp_path / name, method=method)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.onnx", "two.onnx"]
    assert capsys.readouterr().out == "", "standard output belongs to --json"


class Summed(nn.Module):
    """A network whose answers grow with the length of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, steps: Tensor) -> Tensor:
        logits: Tensor = self.linear(steps.sum(1))
        return logits


def test_ranges_are_measured_on_other_sizes_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = InputSpec(name="steps", dtype="float32", shape=(12, 4), low=0, high=1, dynamic_axes=(0,))
    example = np.random.default_rng(0).uniform(0, 1, (8, 12, 4)).astype(np.float32)
    module = Summed().eval()
    export_onnx(module, tmp_path / "float.onnx", inputs=[spec], example=(torch.from_numpy(example[:2]),), opset=20)
    long = resized({"steps": example}, [spec], {"steps": 60})
    apart = []
    for longer in ([], [long]):
        quantize_file(
            tmp_path / "float.onnx",
            tmp_path / "int8.onnx",
            examples={"steps": example},
            others=longer,
            method="minmax",
            activations="uint8",
            reduce_range=True,
        )
        model = load_model(tmp_path, RuntimeSpec(kind="onnxruntime", file="int8.onnx"), [spec])
        apart.append(np.abs(model(long) - module_reference(module, [spec]).answer(long)).max())
    assert apart[1] * 10 < apart[0]


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_it_answers_nearly_as_float_alone_and_in_a_batch(exported: Exported, tmp_path: Path, activations: str) -> None:
    quantized(exported, tmp_path / "int8.onnx", activations=activations)
    before = load_model(exported.folder, RuntimeSpec(kind="onnxruntime", file="float.onnx"), exported.inputs)
    after = load_model(tmp_path, RuntimeSpec(kind="onnxruntime", file="int8.onnx"), exported.inputs)
    expected, answers = before({"pixels": exported.pictures}), after({"pixels": exported.pictures})
    assert np.abs(expected - answers).max() < 0.05 * np.abs(expected).max()
    alone = np.concatenate([after({"pixels": exported.pictures[place : place + 1]}) for place in range(8)])
    assert np.array_equal(alone, answers[:8])


def test_kept_modules_stay_in_float(exported: Exported, tmp_path: Path) -> None:
    report = quantized(exported, tmp_path / "int8.onnx", keep=("features", "network.classifier.4"))
    assert [(layer.name, layer.touched) for layer in report.layers] == [
        ("network.features.0", False),
        ("network.features.3", False),
        ("network.classifier.1", True),
        ("network.classifier.4", False),
    ]
    assert tensors(tmp_path / "int8.onnx")["network.features.0.weight"].dtype == np.float32
    with pytest.raises(UsageError, match=r"static-int8: keep: expected names of modules \(.*\), found feature$"):
        quantized(exported, tmp_path / "int8.onnx", keep=("feature",))
    everything = ("features", "classifier")
    with pytest.raises(UsageError, match="static-int8: expected at least one Conv, Gemm or MatMul with constant weig"):
        quantized(exported, tmp_path / "int8.onnx", keep=everything)


def test_what_stays_in_float_between_quantized_layers_is_run_in_float(exported: Exported, tmp_path: Path) -> None:
    quantized(exported, tmp_path / "int8.onnx", keep=("features.3",))
    runtime = RuntimeSpec(kind="onnxruntime", file="int8.onnx")
    answers = [
        load_model(tmp_path, replace(runtime, optimization=level), exported.inputs)({"pixels": exported.pictures})
        for level in ("all", "none")
    ]
    # Weights that the optimizer quantized by itself change every answer, rounding here and there one.
    assert np.median(np.abs(answers[0] - answers[1]).max(axis=1)) < 1e-5 * np.abs(answers[1]).max()


def test_its_parameters_and_compute_are_counted_as_in_float(exported: Exported, tmp_path: Path) -> None:
    quantized(exported, tmp_path / "int8.onnx")
    costs = [graph_cost(onnx.load(file)) for file in (exported.folder / "float.onnx", tmp_path / "int8.onnx")]
    assert sum(costs[0].parameters.values()) == sum(costs[1].parameters.values()) == 1_630_090
    assert costs[0].macs == costs[1].macs
