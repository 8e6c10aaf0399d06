"""Channel pruning on the shapes networks have. That what is left computes the same is checked by the pass itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pipeline.compress.channels import prune
from pipeline.compress.dynamic import quantize
from pipeline.compress.pass_effect import PassReport
from pipeline.errors import UsageError
from pipeline.models.fashion import FashionCNN
from pipeline.models.preprocess import standardize
from pipeline.models.spec import Deployable


class Inverted(nn.Module):
    """MobileNet's block: wider, a grouped or depthwise convolution, narrow again, with a way around."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.inner = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        joined: Tensor = images + self.inner(images)
        return joined


class Dense(nn.Module):
    """Each layer reads everything before it, the pictures too."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(19, 16, 3, padding=1)
        self.head = nn.Linear(35, 5)

    def forward(self, images: Tensor) -> Tensor:
        seen = torch.cat([images, self.first(images).relu()], 1)
        logits: Tensor = self.head(torch.cat([seen, self.second(seen).relu()], 1).mean((2, 3)))
        return logits


class JoinedToInput(nn.Module):
    """A depthwise convolution and a sum on the pictures themselves: only `wide` may lose channels."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.same = nn.Conv2d(16, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 32, 1)
        self.head = nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.wide(images + self.same(self.depthwise(images))).relu().mean((2, 3)))
        return logits


class Shuffled(nn.Module):
    """ShuffleNet's way of mixing channels, which no trace of dependencies sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3)
        self.head = nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        values = self.first(images).relu().mean((2, 3))
        count = values.shape[1]
        logits: Tensor = self.head(values.view(-1, 2, count // 2).transpose(1, 2).reshape(-1, count))
        return logits


class FixedSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3)
        self.head = nn.Linear(16 * 36, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.first(images).view(-1, 576))
        return logits


def mobile(groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        Inverted(16, groups),
        Inverted(16, groups),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def perceptron() -> nn.Sequential:
    layers = (nn.Linear(192, 48), nn.ReLU(), nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 5))
    return nn.Sequential(nn.Flatten(), *layers)


def normalised() -> nn.Sequential:
    features = (nn.Conv2d(3, 32, 3), nn.GroupNorm(4, 32), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.InstanceNorm2d(16))
    return nn.Sequential(*features, nn.Flatten(), nn.LayerNorm(256), nn.Linear(256, 5))


ZOO = {
    "depthwise": lambda: mobile(64),
    "grouped": lambda: mobile(4),
    "dense": Dense,
    "perceptron": perceptron,
    "normalised": normalised,
}


def seeded(build: Any) -> nn.Module:
    """A network whose batch norms have seen something, so that none of their values is a plain 0 or 1."""
    torch.manual_seed(0)
    network: nn.Module = build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var, module.bias.data, module.running_mean):
                assert values is not None
                values.copy_(torch.rand_like(values) + 0.5)
    return network.eval()


def pictures() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def pruned(network: nn.Module, example: Tensor | None = None, **settings: Any) -> PassReport:
    defaults: dict[str, Any] = {"keep": 0.5, "scope": "layer", "layers": {}, "round_to": 8, "importance": "l2"}
    return prune(network, **{**defaults, **settings}, example=(pictures() if example is None else example,))


def widths(network: nn.Module) -> dict[str, int]:
    return {
        name: module.weight.shape[0]
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("name", ZOO)
def test_every_kind_of_network_gets_smaller_and_the_same_each_time(name: str, scope: str) -> None:
    network, again = seeded(ZOO[name]), seeded(ZOO[name])
    before = sum(parameter.numel() for parameter in network.parameters())
    report = pruned(network, scope=scope)
    pruned(again, scope=scope)
    assert widths(network) == widths(again)
    assert all(torch.equal(parameter, again.state_dict()[key]) for key, parameter in network.state_dict().items())
    assert report.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert report.parameters + report.removed_parameters == before
    assert 0.5 < report.removed_weight_share < 0.85
    assert 0.5 < report.removed_compute_share < 0.85
    assert list(widths(network).values())[-1] == 5, "the answers stay"
    assert all(width % 8 == 0 for width in list(widths(network).values())[:-1])
    with torch.no_grad():
        assert network(pictures()[:1]).shape == (1, 5)


def test_what_a_network_with_channels_unread_answers_is_what_the_pruned_one_answers() -> None:
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 5)))
    whole = copy.deepcopy(network)
    written, read = whole.get_parameter("0.weight"), whole.get_parameter("3.weight").view(5, 16, 36)
    pruned(network)
    gone = (written.flatten(1).square().sum(1) + read.square().sum((0, 2))).argsort()[:8]
    kept = sorted(set(range(16)) - set(gone.tolist()))
    assert torch.equal(network.get_parameter("0.weight"), written[kept])
    with torch.no_grad():
        read[:, gone] = 0
        assert torch.allclose(network(pictures()), whole(pictures()), atol=1e-6)


def test_resnet18_is_pruned() -> None:
    network = seeded(torchvision.models.resnet18)
    report = pruned(network, torch.rand(2, 3, 32, 32))
    assert report.removed_weight_share == pytest.approx(0.739, abs=0.01)
    assert widths(network)["layer4.1.conv2"] == 256
    assert widths(network)["fc"] == 1000


def test_what_is_joined_to_the_input_keeps_its_channels() -> None:
    network = JoinedToInput().eval()
    pruned(network, torch.rand(2, 16, 8, 8))
    assert widths(network) == {"depthwise": 16, "same": 16, "wide": 16, "head": 5}


def test_the_network_is_pruned_and_not_its_preprocessing() -> None:
    preprocess = nn.Sequential(standardize(scale=1 / 255, mean=[0.5], std=[0.5], shape=(1, 28, 28)), nn.Conv2d(1, 1, 1))
    module = Deployable(preprocess=preprocess, network=FashionCNN()).eval()
    report = pruned(module, torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8), layers={"features.0": 0.25})
    assert widths(module) == {
        "preprocess.1": 1,
        "network.features.0": 8,
        "network.features.3": 32,
        "network.classifier.1": 256,
        "network.classifier.4": 10,
    }
    assert [layer.touched for layer in report.layers] == [False, True, True, True, True]
    assert report.layers[1].removed_weights == 24 * 9
    assert report.detail == ("50 % of the channels per layer stay (features.0 25 %), in multiples of 8 (L2 norm)")


def test_layers_that_share_channels_take_the_largest_share_given() -> None:
    network = mobile(64).eval()
    pruned(network, layers={"0": 0.25, "1.inner.6": 1.0, "2.inner.0": 0.25})
    assert widths(network) == {
        "0": 16,
        "1.inner.0": 32,
        "1.inner.3": 32,
        "1.inner.6": 16,
        "2.inner.0": 16,
        "2.inner.3": 16,
        "2.inner.6": 16,
        "5": 5,
    }


def test_over_all_layers_the_strong_ones_keep_more() -> None:
    network = perceptron()
    with torch.no_grad():
        network.get_parameter("3.weight")[:8] *= 1e-3
        network.get_parameter("5.weight")[:, :8] *= 1e-3
    pruned(network, scope="global", keep=0.9)
    assert widths(network) == {"1": 48, "3": 32, "5": 5}


def test_a_layer_is_never_emptied_and_counts_are_multiples() -> None:
    network = perceptron()
    pruned(network, keep=0.01, round_to=6)
    assert widths(network) == {"1": 6, "3": 6, "5": 5}


def test_among_equal_channels_the_last_go() -> None:
    network = nn.Sequential(nn.Linear(2, 4, bias=False), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [9.0, 9.0]]))
        network.get_parameter("1.weight").fill_(1.0)
    pruned(network, torch.ones(2, 2), round_to=1)
    assert network.get_parameter("0.weight").tolist() == [[1.0, 2.0], [9.0, 9.0]]


def test_frozen_parameters_stay_frozen_and_the_mode_stays() -> None:
    network = perceptron().train()
    network.get_parameter("1.weight").requires_grad = False
    pruned(network)
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, True, True, True, True, True]
    assert network.training


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), {}, "whose channels may go, found none"),
        (lambda: nn.Sequential(nn.Flatten(), nn.ReLU()), {}, "expected .*, found .*; leave the pass out"),
        (perceptron, {"keep": 1.0}, "expected layers of more channels than stay, found none with keep = 1"),
        (perceptron, {"layers": {"first": 0.5}}, r"layers: expected names of .* \(1, 3, 5\), found first"),
        (perceptron, {"layers": {"5": 0.5}}, r"layers: expected layers whose channels may go \(1, 3\), found 5"),
        (Shuffled, {}, "its forward rearranges channels: leave the pass out"),
        (FixedSize, {}, r"expected a network that runs with fewer channels, .*; take sizes from the tensors"),
        (lambda: nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(192, 9))), {}, "computed from other parameters"),
    ],
)
def test_what_cannot_be_pruned_is_refused_in_one_line(build: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^channel-pruning: .*{message}") as caught:
        pruned(seeded(build), **settings)
    assert "\n" not in str(caught.value)


def test_a_quantized_network_is_refused() -> None:
    quantized, _ = quantize(perceptron(), example=(pictures(),))
    with pytest.raises(UsageError, match="channel-pruning after quantization: expected float layers, found 1 already"):
        pruned(quantized)
