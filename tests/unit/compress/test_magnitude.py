from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.parametrizations import weight_norm

from pipeline.compress.dynamic import quantize
from pipeline.compress.magnitude import prune
from pipeline.errors import UsageError
from pipeline.models.fashion import FashionCNN

EXAMPLE = (torch.zeros(2, 1, 8, 8),)


def small_network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 7), nn.ReLU(), nn.Linear(7, 4))


def layers_of(network: nn.Sequential) -> list[nn.Module]:
    return [network[0], network[3], network[5]]


def test_per_layer_as_torch_prunes_it() -> None:
    ours, theirs = small_network(), small_network()
    prune(ours, amount=0.3, scope="layer", example=EXAMPLE)
    for layer in layers_of(theirs):
        torch_prune.l1_unstructured(layer, "weight", amount=0.3)  # type: ignore[no-untyped-call]
        torch_prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


def test_over_all_layers_as_torch_prunes_it() -> None:
    ours, theirs = small_network(), small_network()
    report = prune(ours, amount=0.5, scope="global", example=EXAMPLE)
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers_of(theirs)], pruning_method=torch_prune.L1Unstructured, amount=0.5
    )
    for layer in layers_of(theirs):
        torch_prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    for layer, expected in zip(layers_of(ours), layers_of(theirs), strict=True):
        assert torch.equal(layer.get_parameter("weight"), expected.get_parameter("weight"))
    shares = [layer.zeros / layer.weights for layer in report.layers]
    assert report.touched_sparsity == pytest.approx(0.5, abs=1e-3)
    assert max(shares) - min(shares) > 0.1, "layers of larger weights keep more of them"


def test_among_equal_weights_the_first_go() -> None:
    network = nn.Sequential(nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[0.5, -0.5, 0.5, -0.5], [0.5, 0.5, 2.0, 0.1]]))
    prune(network, amount=0.5, scope="layer", example=(torch.zeros(2, 4),))
    assert network.get_parameter("0.weight").tolist() == [[0.0, 0.0, 0.0, -0.5], [0.5, 0.5, 2.0, 0.0]]


def test_zeros_are_permanent() -> None:
    network = small_network()
    names = list(network.state_dict())
    prune(network, amount=0.3, scope="layer", example=EXAMPLE)
    assert list(network.state_dict()) == names
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(isinstance(layer.get_parameter("weight"), nn.Parameter) for layer in layers_of(network))
    again = small_network()
    again.load_state_dict(copy.deepcopy(network.state_dict()), strict=True)
    assert torch.equal(again.get_parameter("3.weight"), network.get_parameter("3.weight"))


def test_biases_are_left_alone() -> None:
    network = small_network()
    before = network.get_parameter("3.bias").clone()
    prune(network, amount=0.9, scope="global", example=EXAMPLE)
    assert torch.equal(network.get_parameter("3.bias"), before)


def test_report_of_the_fashion_cnn() -> None:
    report = prune(FashionCNN(), amount=0.3, scope="layer", example=(torch.zeros(2, 1, 28, 28),))
    assert report.parameters == 1_630_090
    assert report.touched_weights == 9 * 32 + 9 * 32 * 64 + 3136 * 512 + 512 * 10
    assert report.touched_sparsity == pytest.approx(0.3, abs=1e-5)
    assert report.sparsity == pytest.approx(0.3 * 1_629_472 / 1_630_090, abs=1e-5)
    assert report.compute_share == 1.0
    assert [layer.kind for layer in report.layers] == ["Conv2d", "Conv2d", "Linear", "Linear"]
    assert report.detail == "30 % of the weights per layer"


def test_recurrent_layers_are_counted_but_not_touched() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3))
    report = prune(network, amount=0.5, scope="layer", example=(torch.zeros(2, 4, 3),))
    assert [layer.touched for layer in report.layers] == [True, False]
    assert report.compute_share < 0.2


def test_a_shared_weight_is_pruned_once() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    network[2].weight = network[0].weight
    prune(network, amount=0.5, scope="layer", example=(torch.zeros(2, 4),))
    assert torch.count_nonzero(network.get_parameter("0.weight")) == 8


def test_a_quantized_network_is_refused() -> None:
    quantized, _ = quantize(small_network(), example=EXAMPLE)
    with pytest.raises(
        UsageError, match=r"found 3 already quantized; .* silently do nothing: put it before dynamic-int8"
    ):
        prune(quantized, amount=0.3, scope="layer", example=EXAMPLE)


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="expected at least one convolution or linear layer, found none"):
        prune(nn.Sequential(nn.ReLU()), amount=0.3, scope="layer", example=EXAMPLE)


def test_computed_weights_are_refused() -> None:
    network = nn.Sequential(weight_norm(nn.Linear(64, 2)))
    with pytest.raises(UsageError, match=r"found 0\.weight computed from other parameters"):
        prune(network, amount=0.3, scope="layer", example=(torch.zeros(2, 64),))
    parametrize.remove_parametrizations(network[0], "weight")
    prune(network, amount=0.3, scope="layer", example=(torch.zeros(2, 64),))
