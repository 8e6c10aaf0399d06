"""Networks that a factory compiled; importing the compiler takes seconds, so these are no unit tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from pipeline.models.wrappers import unwrapped
from tests.networks import bare


def compiled(network: nn.Module) -> nn.Module:
    found: object = torch.compile(network)
    assert isinstance(found, nn.Module)
    return found


def compiled_parts(network: nn.Module) -> nn.Module:
    for name, child in list(network.named_children()):
        setattr(network, name, DataParallel(compiled(child)))
    return network


def compiled_in_place(network: nn.Module) -> nn.Module:
    network.compile()
    return network


# What torch's own modules do on import.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        compiled,
        lambda network: DataParallel(compiled(network)),
        lambda network: compiled(AveragedModel(network)),
        compiled_parts,
        compiled_in_place,
    ],
)
def test_names_and_calls_are_the_networks_own(wrap: Callable[[nn.Module], nn.Module]) -> None:
    found = unwrapped(wrap(bare()))
    assert list(found.state_dict()) == list(bare().state_dict())
    assert [type(module) for module in found.modules()] == [type(module) for module in bare().modules()]
    assert all(module._compiled_call_impl is None for module in found.modules())
