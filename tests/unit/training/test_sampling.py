"""An epoch sees each example once, or each class as often as any other."""

from __future__ import annotations

import torch

from pipeline.training.sampling import make_sampler

LABELS = torch.tensor([0] * 900 + [2] * 90 + [5] * 10)


def test_shuffled_is_each_example_once() -> None:
    torch.manual_seed(0)
    order = make_sampler("shuffled", LABELS).draw()
    assert torch.equal(order.sort().values, torch.arange(1000))
    torch.manual_seed(0)
    assert torch.equal(order, torch.randperm(1000)), "as before there was a choice"


def test_balanced_is_every_class_alike_and_every_example_of_it_alike() -> None:
    torch.manual_seed(0)
    sampler = make_sampler("balanced", LABELS)
    orders = torch.cat([sampler.draw() for _ in range(30)])
    assert len(orders) == 30_000
    shares = torch.bincount(LABELS[orders]) / len(orders)
    assert torch.allclose(shares, torch.tensor([1 / 3, 0, 1 / 3, 0, 0, 1 / 3]), atol=0.01)
    rare = torch.bincount(orders, minlength=1000)[990:]
    assert (rare / rare.sum() - 0.1).abs().max() < 0.02


def test_the_random_state_says_what_is_drawn() -> None:
    sampler = make_sampler("balanced", LABELS)
    torch.manual_seed(0)
    first, second = sampler.draw(), sampler.draw()
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(sampler.draw(), first)
