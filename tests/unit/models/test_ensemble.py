"""Several networks as one: the mean of their answers, in torch, scripted and saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataInfo
from pipeline.errors import UsageError
from pipeline.export.torchscript import export_torchscript
from pipeline.models.ensemble import assemble, ensemble_spec
from pipeline.models.load import load_model_spec
from pipeline.models.preprocess import Each, ToFloat
from pipeline.models.spec import ModelSpec, count_parameters
from pipeline.models.weights import load_network, save_weights
from pipeline.recipe.model import Ensemble, Model

X = InputSpec(name="x", dtype="float32", shape=(3,), low=-9, high=9)
SPEC = ModelSpec(name="m", build=lambda: nn.Linear(3, 2), preprocess=ToFloat, inputs=(X,), labels=("a", "b"))
VALUES = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def members(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Linear(3, 2).eval() for _ in range(count)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_answer_is_the_mean_of_the_members(count: int) -> None:
    networks = members(count)
    ensemble = assemble(networks, SPEC)
    expected = torch.stack([network(VALUES) for network in networks]).mean(dim=0)
    torch.testing.assert_close(ensemble(VALUES), expected)


def test_it_can_be_scripted(tmp_path: Path) -> None:
    export = export_torchscript(assemble(members(3), SPEC), tmp_path / "e.pt", example=(VALUES,))
    assert export.method == "script"


class Sum(nn.Module):
    """A network of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(()))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Map two (B, 3) to (B, 3)."""
        return self.weight * (left + right)


def test_networks_of_several_inputs() -> None:
    spec = replace(
        SPEC,
        build=Sum,
        preprocess=lambda: Each([ToFloat(), ToFloat()]),
        inputs=(X, replace(X, name="y")),
        labels=("a", "b", "c"),
    )
    built = ensemble_spec(spec, count=2)
    network = built.build()
    weights = [parameter.item() for parameter in network.parameters()]
    answer = built.deployable(network)(VALUES, VALUES)
    torch.testing.assert_close(answer, sum(weights) * VALUES)


def test_the_whole_is_saved_and_built_again(tmp_path: Path) -> None:
    spec, network = ensemble_spec(SPEC, count=3), assemble(members(3), SPEC)
    save_weights(tmp_path / "w.safetensors", network)
    again = load_network(spec, tmp_path / "w.safetensors")
    assert torch.equal(again(VALUES), network(VALUES))
    assert count_parameters(again) == 3 * 8


def test_a_recipes_ensemble() -> None:
    data = DataInfo(name="t", classes=("a", "b"), inputs=(X,), sizes={}, digests={}, sources={})
    model = Model(name="mlp", arguments={"hidden": [4]}, ensemble=Ensemble(seeds=(1, 2)))
    alone, both = (load_model_spec(section, Path(), data) for section in (model.member(), model))
    assert count_parameters(both.build()) == 2 * count_parameters(alone.build())


def test_parts_of_answers_have_no_mean() -> None:
    with pytest.raises(UsageError, match=r"model.ensemble: expected a network that answers with one tensor"):
        ensemble_spec(replace(SPEC, choice=("logits",)), count=2)
