"""Networks that a factory returns inside wrappers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.models.load import load_model_spec
from pipeline.models.wrappers import unwrapped
from pipeline.recipe.model import Model
from tests.networks import bare


def wrapped_parts(network: nn.Module) -> nn.Module:
    network[0] = DataParallel(network[0])  # type: ignore[operator,index]
    return network


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: network,
        DataParallel,
        AveragedModel,
        lambda network: DataParallel(AveragedModel(network)),
        wrapped_parts,
    ],
)
def test_names_are_the_networks_own(wrap: Callable[[nn.Module], nn.Module]) -> None:
    bare_network = unwrapped(wrap(bare()))
    assert list(bare_network.state_dict()) == list(bare().state_dict())
    assert [type(module) for module in bare_network.modules()] == [type(module) for module in bare().modules()]


NETS = """
from torch import nn
from pipeline import ModelSpec
from pipeline.models.preprocess import ToFloat
from pipeline._handlers.decode import InputSpec

def build():
    return nn.DataParallel(nn.DataParallel(nn.Linear(50, 3)))

def spec():
    inputs = (InputSpec(name="features", dtype="float32", shape=(50,), low=-9, high=9),)
    return ModelSpec(name="mine", build=build, preprocess=ToFloat, inputs=inputs, labels=("0", "1", "2"))
"""


@pytest.mark.parametrize("factory", ["wrapped_nets:build", "wrapped_nets:spec"])
def test_what_a_factory_wrapped_is_unwrapped_in_every_build(tmp_path: Path, factory: str) -> None:
    (tmp_path / "wrapped_nets.py").write_text(NETS)
    table = InputSpec(name="features", dtype="float32", shape=(50,), low=-9, high=9)
    data = DataInfo(name="t", classes=("0", "1", "2"), inputs=(table,), sizes={}, digests={}, sources={})
    spec = load_model_spec(Model(factory=factory), tmp_path, data)
    assert type(spec.build()) is nn.Linear
