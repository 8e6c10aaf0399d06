"""Pictures are moved; their pixels show where each of them went."""

from __future__ import annotations

import pytest
import torch

from pipeline.training.augment import Augmentation, moved

PICTURES = torch.arange(1, 1 + 2 * 2 * 3 * 4, dtype=torch.uint8).reshape(2, 2, 3, 4)


@pytest.mark.parametrize(("mirrored", "down", "right"), [(0, 0, 0), (1, 0, 0), (0, 1, -2), (1, -1, 3), (1, 3, 0)])
def test_a_picture_is_mirrored_then_shifted_and_zeros_come_in(mirrored: int, down: int, right: int) -> None:
    picture = PICTURES[1].flip(-1) if mirrored else PICTURES[1]
    expected = torch.zeros_like(picture)
    for row in range(3):
        for column in range(4):
            if 0 <= row - down < 3 and 0 <= column - right < 4:
                expected[:, row, column] = picture[:, row - down, column - right]
    pictures = moved(PICTURES, torch.tensor([0, 1]), torch.tensor([[0, 0, 0], [mirrored, down, right]]))
    assert torch.equal(pictures[0], PICTURES[0])
    assert torch.equal(pictures[1], expected)
    assert pictures.dtype == torch.uint8
    assert pictures.is_contiguous(memory_format=torch.channels_last)


def test_draws_reach_every_shift_about_equally_often() -> None:
    torch.manual_seed(0)
    drawn = Augmentation(horizontal_flip=True, shift=2).draw(10_000)
    assert drawn is not None
    assert 4700 < int(drawn[:, 0].sum()) < 5300
    for axis in (1, 2):
        counts = torch.bincount(drawn[:, axis] + 2)
        assert len(counts) == 5
        assert counts.min() > 1800
    assert Augmentation().draw(3) is None


def test_flips_alone_have_two_copies_and_shifts_more() -> None:
    assert Augmentation().copies(3).tolist() == [[[0, 0, 0]] * 3]
    assert Augmentation(horizontal_flip=True).copies(2).tolist() == [[[0, 0, 0]] * 2, [[1, 0, 0]] * 2]
    state = torch.get_rng_state()
    some = Augmentation(shift=2).copies(50)
    assert some.shape == (8, 50, 3)
    assert torch.equal(some, Augmentation(shift=2).copies(50))
    assert torch.equal(state, torch.get_rng_state())
    assert (some[0] != some[1]).any()
