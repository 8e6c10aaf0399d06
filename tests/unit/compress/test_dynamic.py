from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.compress.dynamic import quantize
from pipeline.errors import UsageError
from pipeline.models.fashion import FashionCNN


def test_linear_layers_are_touched_and_convolutions_are_not() -> None:
    network = FashionCNN().eval()
    quantized, report = quantize(network, example=(torch.zeros(2, 1, 28, 28),))
    assert [(layer.kind, layer.touched) for layer in report.layers] == [
        ("Conv2d", False),
        ("Conv2d", False),
        ("Linear", True),
        ("Linear", True),
    ]
    assert report.weight_share == (3136 * 512 + 512 * 10) / 1_630_090
    # 1,610,752 of 5,449,216 multiply-accumulates
    assert report.compute_share == pytest.approx(0.2956, abs=1e-4)
    assert isinstance(quantized.get_submodule("features.0"), nn.Conv2d)
    touched = [quantized.get_submodule(layer.name) for layer in report.layers if layer.touched]
    assert {type(layer).__module__ for layer in touched} == {"torch.ao.nn.quantized.dynamic.modules.linear"}


def test_the_network_itself_stays_float() -> None:
    network = nn.Sequential(nn.Linear(4, 4))
    quantized, _ = quantize(network, example=(torch.zeros(2, 4),))
    assert type(network[0]) is nn.Linear
    assert not quantized.training


def test_recurrent_layers_are_touched() -> None:
    _, report = quantize(nn.Sequential(nn.LSTM(3, 5)), example=(torch.zeros(2, 4, 3),))
    assert report.compute_share == 1.0


def test_quantizing_twice_is_refused() -> None:
    quantized, _ = quantize(nn.Sequential(nn.Linear(4, 4)), example=(torch.zeros(2, 4),))
    with pytest.raises(UsageError, match="dynamic-int8 after quantization: expected float layers, found 0 already"):
        quantize(quantized, example=(torch.zeros(2, 4),))


def test_a_network_of_convolutions_is_refused() -> None:
    with pytest.raises(UsageError, match="expected at least one linear or recurrent layer, found none"):
        quantize(nn.Sequential(nn.Conv2d(1, 1, 1)), example=(torch.zeros(2, 1, 4, 4),))
