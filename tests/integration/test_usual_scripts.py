"""What torch writes of usual networks, scripted and traced, only computes."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic

from pipeline.export.torchscript import canonical_torchscript
from pipeline.model_code.torchscript import check_torchscript

pytestmark = pytest.mark.slow

NETWORKS = [
    "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "efficientnet_b0", "googlenet",
    "densenet121", "mnasnet0_5", "regnet_y_400mf", "vit_b_32", "swin_t", "convnext_tiny", "maxvit_t",
]  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.last = nn.LSTM(4, 8), nn.GRU(8, 8), nn.Linear(8, 2)

    def forward(self, values: Tensor) -> Tensor:
        states, _ = self.lstm(values)
        states, _ = self.gru(states)
        logits: Tensor = self.last(states)
        return logits


def check(name: str, module: nn.Module, example: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(module)
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        for form in (scripted, torch.jit.freeze(scripted), torch.jit.freeze(traced)):
            content = io.BytesIO()
            torch.jit.save(form, content)
            check_torchscript(name, canonical_torchscript(content.getvalue()))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torchvision(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torchvision.models.get_model(name, weights=None).eval()
    check(name, module, torch.zeros(2, 3, 224, 224))


def test_recurrent_layers_in_float_and_in_int8() -> None:
    module = Recurrent().eval()
    check("float", module, torch.zeros(2, 3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layers = {nn.Linear, nn.LSTM, nn.GRU}
        quantized = quantize_dynamic(module, layers, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    check("int8", quantized, torch.zeros(2, 3, 4))
