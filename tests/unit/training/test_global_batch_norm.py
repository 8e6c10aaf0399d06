"""Batch norm over all processes: with one process in the group it is torch's own; with two it is so in
`tests/integration/test_several_processes.py`, where a network with batch norm learns what it learns in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]

from pipeline.training.global_batch_norm import GlobalBatchNorm


@pytest.fixture(scope="module", autouse=True)
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _outcome(layer: nn.Module, values: Tensor) -> list[Tensor]:
    values = values.clone().requires_grad_()
    answers = layer(values)
    weights = torch.linspace(-1, 1, answers.numel()).view(answers.shape)
    gradients = torch.autograd.grad((answers.float() * weights).square().sum(), [values, *layer.parameters()])
    return [answers, *gradients, *layer.state_dict().values()]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (5, 3)),
        (nn.BatchNorm1d(3, affine=False), (5, 3, 4)),
        (nn.BatchNorm2d(3, momentum=None), (4, 3, 6, 5)),
        (nn.BatchNorm3d(2, track_running_stats=False), (2, 2, 3, 3, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_it_is_what_torch_computes(layer: nn.Module, shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 100
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    expected = _outcome(layer, values)
    layer.load_state_dict(before)
    with GlobalBatchNorm(counts=True):
        outcome = _outcome(layer, values)
    assert len(outcome) == len(expected)
    for value, other in zip(outcome, expected, strict=True):
        # torch adds in another order: some roundings of values around 100 with a spread of 3.
        torch.testing.assert_close(value, other, rtol=2e-4, atol=2e-4)


def test_a_batch_norm_that_does_not_train_stays_as_it_is() -> None:
    layer = nn.BatchNorm1d(3).eval()
    values = torch.randn(5, 3)
    with GlobalBatchNorm(counts=False):
        assert torch.equal(layer(values), nn.BatchNorm1d(3).eval()(values))


def test_half_precision_stays_half_precision() -> None:
    layer, values = nn.BatchNorm1d(3), torch.randn(8, 3, dtype=torch.bfloat16, requires_grad=True)
    with GlobalBatchNorm(counts=True):
        answers = layer(values)
    answers.sum().backward()
    assert answers.dtype is torch.bfloat16
    assert values.grad is not None
    assert values.grad.dtype is torch.bfloat16


def test_what_is_computed_again_later_is_computed_the_same_way() -> None:
    with GlobalBatchNorm(counts=False):
        again = GlobalBatchNorm.again()
    assert isinstance(again, GlobalBatchNorm)
    assert not again.counts
    assert not isinstance(GlobalBatchNorm.again(), GlobalBatchNorm)
