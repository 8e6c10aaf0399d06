"""Networks with several heads are pruned and quantized like others, and none of their outputs changes its shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.model_file import load_model
from pipeline._handlers.outputs import OutputSpec, split_outputs
from pipeline.compress.bfloat16 import convert
from pipeline.compress.channel_groups import prunable
from pipeline.compress.channels import prune
from pipeline.compress.dynamic import quantize
from pipeline.compress.onnx_dynamic import quantize_file as quantize_dynamic
from pipeline.compress.onnx_static import quantize_file
from pipeline.export.onnx import export_onnx
from tests.several_outputs import PICTURES, SPECS, network, pictures, several, written

EXAMPLE = (torch.from_numpy(pictures(2)),)


def test_channels_that_are_an_output_stay_and_the_others_go() -> None:
    inner = network()
    module = several(inner)
    assert [group.layers for group in prunable(module, example=EXAMPLE)] == [("first",)]
    prune(module, keep=0.5, scope="layer", layers={}, round_to=1, importance="l2", example=EXAMPLE)
    assert (inner.first.out_channels, inner.second.out_channels) == (8, 8)
    assert [tuple(tensor.shape[1:]) for tensor in module(*EXAMPLE)] == [spec.shape for spec in SPECS]


@pytest.mark.parametrize("convert_module", [convert, quantize])
def test_other_number_formats_answer_with_every_output(convert_module: object) -> None:
    module = several()
    assert callable(convert_module)
    converted, _ = convert_module(module, example=EXAMPLE)
    with torch.no_grad():
        for spec, expected, tensor in zip(SPECS, module(*EXAMPLE), converted(*EXAMPLE), strict=True):
            assert tensor.dtype is torch.float32
            apart = (tensor - expected).abs().max() / (expected.max() - expected.min())
            assert apart < 0.03, spec.name


class Endings(nn.Module):
    """Outputs behind activations, which a quantizer folds into ranges, some of them read on by other layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.last = nn.Linear(36, 16), nn.Linear(16, 4), nn.Linear(16, 4)

    def forward(self, values: Tensor) -> dict[str, Tensor]:
        hidden = self.body(values.flatten(1)).relu()
        return {"scores": self.head(hidden), "hidden": hidden, "ended": self.last(hidden).clamp(0, 6)}


ENDINGS = (
    OutputSpec(name="scores", shape=(4,)),
    OutputSpec(name="hidden", shape=(16,)),
    OutputSpec(name="ended", shape=(4,)),
)


def test_static_int8_keeps_every_output_in_float_and_behind_its_activation(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = several(Endings())
    export_onnx(module, tmp_path / "float.onnx", inputs=(PICTURES,), outputs=ENDINGS, example=EXAMPLE, opset=18)
    quantize_file(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        examples={"pictures": pictures(200)},
        method="minmax",
        activations="uint8",
        reduce_range=True,
    )
    graph = onnx.load(tmp_path / "int8.onnx").graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    assert {spec.name: makers[spec.name] for spec in ENDINGS} == {"scores": "Gemm", "hidden": "Relu", "ended": "Clip"}
    read_on = [node.op_type for node in graph.node if "hidden" in node.input]
    assert read_on == ["QuantizeLinear"], "inside, the layers behind it read int8"
    held = replace(written(tmp_path / "other.onnx", several()).runtime, file="int8.onnx", outputs=ENDINGS)
    answers = split_outputs(load_model(tmp_path, held, (PICTURES,))({"pictures": pictures(32)}), ENDINGS)
    with torch.no_grad():
        expected = module(torch.from_numpy(pictures(32)))
    for spec, tensor in zip(ENDINGS, expected, strict=True):
        apart = np.abs(answers[spec.name] - tensor.numpy()).max() / np.ptp(tensor.numpy())
        assert apart < 0.03, spec.name
    assert answers["hidden"].min() == 0
    assert answers["ended"].min() == 0


def test_dynamic_int8_answers_with_every_output(tmp_path: Path) -> None:
    held = written(tmp_path / "float.onnx", several())
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    runtime = replace(held.runtime, file="int8.onnx")
    answers = load_model(tmp_path, runtime, (PICTURES,))({"pictures": pictures(4)})
    assert answers.shape == (4, sum(spec.size for spec in SPECS))
