"""Preprocessing inside the network."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.models.preprocess import Affine, ToFloat, standardize


def test_preprocessing_is_one_multiplication_and_one_addition() -> None:
    module = standardize(scale=1 / 255, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 1.0], shape=(3, 2, 2))
    assert isinstance(module, Affine)
    assert not module.state_dict(), "preprocessing is no part of the weights"
    raw = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2)
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in ([0.1, 0.2, 0.3], [0.5, 0.25, 1.0])
    )
    assert torch.allclose(module(raw).double(), (raw.double() / 255 - mean) / std, atol=1e-6, rtol=1e-6)


def test_preprocessing_of_a_table_is_per_feature() -> None:
    module = standardize(scale=1.0, mean=[1.0, 2.0], std=[2.0, 4.0], shape=(2,))
    assert torch.equal(module(torch.tensor([[3.0, 6.0]])), torch.tensor([[1.0, 1.0]]))


def test_preprocessing_that_does_nothing_is_a_cast() -> None:
    assert isinstance(standardize(scale=1.0, mean=[0.0], std=[1.0], shape=(2,)), ToFloat)


def test_preprocessing_refuses_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match=r"preprocessing\.mean: expected 1 value or 3, .* found 2"):
        standardize(scale=1.0, mean=[0.0, 0.0], std=[1.0], shape=(3, 8, 8))
    with pytest.raises(UsageError, match=r"preprocessing\.std: expected values other than 0"):
        standardize(scale=1.0, mean=[0.0], std=[0.0], shape=(3, 8, 8))
