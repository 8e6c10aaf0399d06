from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.compress.pass_effect import LayerTouch, PassReport, evaluation, layer_macs, weighted_layers


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # output values x values that each of them sums over, counted by hand
        (nn.Linear(3, 5), (3,), 5 * 3),
        (nn.Linear(3, 5), (4, 3), 4 * 5 * 3),
        (nn.Conv2d(2, 4, 3, padding=1), (2, 6, 5), 4 * 6 * 5 * (2 * 9)),
        (nn.Conv2d(4, 4, 3, groups=4, stride=2), (4, 7, 7), 4 * 3 * 3 * 9),
        (nn.Conv1d(2, 3, 5), (2, 9), 3 * 5 * (2 * 5)),
        # each of the 2 x 4 x 4 inputs is spread over 3 channels of a 2 x 2 kernel
        (nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 4, 4), 2 * 4 * 4 * 3 * 2 * 2),
        # 6 steps; 4 gates of 5, each from 3 inputs and 5 states
        (nn.LSTM(3, 5, batch_first=True), (6, 3), 6 * 4 * 5 * (3 + 5)),
        (nn.GRU(3, 5, batch_first=True, bidirectional=True), (6, 3), 2 * 6 * 3 * 5 * (3 + 5)),
        (nn.LSTMCell(3, 5), (3,), 4 * 5 * (3 + 5)),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else None,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_multiply_accumulates_per_example(layer: nn.Module, shape: tuple[int, ...], expected: int, batch: int) -> None:
    assert layer_macs(nn.Sequential(layer), (torch.zeros(batch, *shape),)) == {"0": expected}


def test_a_layer_used_twice_counts_twice_and_an_unused_one_not_at_all() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 4)
            self.unused = nn.Linear(4, 4)

        def forward(self, values: Tensor) -> Tensor:
            result: Tensor = self.used(self.used(values))
            return result

    assert layer_macs(Twice(), (torch.zeros(2, 4),)) == {"used": 32, "unused": 0}


def test_counting_leaves_nothing_behind() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_macs(network, (torch.randn(3, 4),))
    assert [module.training for module in network] == [True, True, False]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_modes_are_restored_after_an_error() -> None:
    network = nn.Sequential(nn.Dropout(0.5))
    with pytest.raises(KeyError), evaluation(network):
        raise KeyError
    assert network[0].training


def test_only_layers_with_weights_are_listed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU(), nn.Embedding(3, 3), nn.Linear(1, 1))
    assert list(weighted_layers(network)) == ["0", "4"]


def test_shares_are_fractions_of_all_parameters_and_all_compute() -> None:
    report = PassReport(
        kind="magnitude-pruning",
        detail="",
        layers=(
            LayerTouch(name="a", kind="Linear", weights=60, zeros=30, macs=300, touched=True),
            LayerTouch(name="b", kind="LSTM", weights=20, zeros=0, macs=100, touched=False),
        ),
        parameters=100,
    )
    assert (report.weight_share, report.compute_share) == (0.6, 0.75)
    assert (report.sparsity, report.touched_sparsity) == (0.3, 0.5)


def test_nothing_touched_is_no_division_by_zero() -> None:
    report = PassReport(kind="dynamic-int8", detail="", layers=(), parameters=0)
    assert (report.weight_share, report.compute_share, report.sparsity, report.touched_sparsity) == (0, 0, 0, 0)
