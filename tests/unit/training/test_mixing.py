"""Mixed pictures and losses, held against torchvision's mixup and cutmix."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from pipeline.training.loss import of_labels
from pipeline.training.mixing import Mix, Mixing, main_labels, mixed_loss

PICTURES = torch.randint(0, 256, (6, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def test_mixup_is_torchvisions() -> None:
    torch.manual_seed(1)
    (mixed,), mix = Mixing(mixup=1.0).apply((PICTURES,))
    assert mix is not None
    reference = v2.MixUp(num_classes=3)
    facts = {"lam": mix.share, "labels": LABELS, "batch_size": 6}
    expected = reference.transform(tv_tensors.Image(PICTURES.float()), facts)
    assert (mixed.float() - expected).abs().max() <= 0.5, "rounded to bytes"
    assert mixed.dtype is torch.uint8


def test_cutmix_puts_in_a_rectangle_of_the_share_that_is_told() -> None:
    torch.manual_seed(2)
    for _ in range(20):
        (mixed,), mix = Mixing(cutmix=1.0).apply((PICTURES,))
        assert mix is not None
        partner = PICTURES[mix.partner]
        own, other = (mixed == PICTURES).all(dim=1), (mixed == partner).all(dim=1)
        assert (own | other).all()
        assert abs(float((~own).float().mean()) - (1 - mix.share)) < 0.01
        rows, columns = torch.nonzero(~own[0]).unbind(dim=1)
        if len(rows):
            box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
            assert int(box) == len(rows), "it is a rectangle"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mixed_loss_is_that_of_mixed_targets(smoothing: float) -> None:
    criterion = partial(F.cross_entropy, label_smoothing=smoothing)
    logits, mix = torch.randn(6, 3), Mix(partner=torch.arange(6).roll(1), share=0.3)
    shares = v2.MixUp(num_classes=3).transform(LABELS, {"lam": 0.3, "labels": LABELS, "batch_size": 6})
    expected = F.cross_entropy(logits, shares, label_smoothing=smoothing)
    loss = mixed_loss(of_labels(criterion), mix)(logits, LABELS, torch.arange(6), None)
    torch.testing.assert_close(loss, expected)


def test_scores_are_counted_by_the_larger_share() -> None:
    partner = torch.arange(6).roll(1)
    assert main_labels(LABELS, None) is LABELS
    assert main_labels(LABELS, Mix(partner=partner, share=0.6)) is LABELS
    assert main_labels(LABELS, Mix(partner=partner, share=0.4)).tolist() == [2, 0, 1, 2, 0, 1]


def test_nothing_is_mixed_or_drawn_unless_asked() -> None:
    state = torch.get_rng_state()
    values, mix = Mixing().apply((PICTURES,))
    assert values == (PICTURES,)
    assert mix is None
    assert torch.equal(torch.get_rng_state(), state)
    loss = of_labels(F.cross_entropy)
    assert mixed_loss(loss, None) is loss


def test_with_both_a_batch_draws_one_of_the_two() -> None:
    torch.manual_seed(0)
    cut = 0
    for _ in range(40):
        (mixed,), mix = Mixing(mixup=1.0, cutmix=1.0).apply((PICTURES,))
        assert mix is not None
        cut += bool(((mixed == PICTURES) | (mixed == PICTURES[mix.partner])).all())
    assert 10 < cut < 30
