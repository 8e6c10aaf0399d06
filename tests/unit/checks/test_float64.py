"""Float32 alone moves the answers of a network, and this is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.checks.expectation import measured_noise
from pipeline.checks.reference import module_reference

VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-4.0, high=4.0)
ARRAYS = {"values": np.random.default_rng(0).uniform(-4, 4, (5, 3)).astype(np.float32)}


class Casting(nn.Module):
    """A network that casts to float32, as preprocessing does, and makes tensors of its own on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, values: Tensor) -> Tensor:
        raised = values.float().to(torch.float32) + torch.full((3,), 0.1, dtype=torch.float32) + torch.ones(3) / 3
        logits: Tensor = self.head(raised)
        return logits


def test_casts_to_float32_are_no_hindrance() -> None:
    torch.manual_seed(0)
    module = Casting().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    reference = module_reference(module, (VALUES,))
    assert reference.exact is not None
    exact = reference.exact(ARRAYS)
    weight, bias = (value.double().numpy() for value in (module.head.weight.detach(), module.head.bias.detach()))
    assert exact == pytest.approx((ARRAYS["values"].astype(np.float64) + 0.1 + 1 / 3) @ weight.T + bias, abs=1e-14)
    noise = measured_noise(reference, ARRAYS)
    assert isinstance(noise, float)
    assert 0 < noise < 1e-6
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32}


class OnlyFloat32(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        if values.dtype != torch.float32:
            raise TypeError("float32 only")
        return values * 2


def test_a_network_that_has_no_answer_in_float64_has_no_known_noise() -> None:
    reference = module_reference(OnlyFloat32().eval(), (VALUES,))
    doubled = {"values": ARRAYS["values"].astype(np.float64)}
    assert reference.exact is not None
    assert reference.exact(doubled) is None
    assert measured_noise(module_reference(OnlyFloat32().eval(), (VALUES,), exact=False), ARRAYS) == 0.0
