"""Architectures, and the module that is deployed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.compare import compare, fitted, in_outputs
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.errors import UsageError
from pipeline.models.fashion import FashionCNN
from pipeline.models.mlp import MLP
from pipeline.models.preprocess import Each, ToFloat, Unchanged, standardize
from pipeline.models.spec import ModelSpec, count_parameters
from pipeline.recipe.model import Activation
from pipeline.recipe.task import TaskName

PICTURE = InputSpec(name="image", dtype="uint8", shape=(1, 28, 28), low=0, high=255)
TABLE = InputSpec(name="x", dtype="float32", shape=(2,), low=-9, high=9)


def test_parameter_counts_are_the_published_ones() -> None:
    assert count_parameters(FashionCNN()) == 1_630_090
    assert count_parameters(FashionCNN(wide=True)) == 1_758_858
    assert count_parameters(MLP(features=50, hidden=[30, 20], classes=3)) == 2_213


def test_layers_stand_in_the_order_of_the_description() -> None:
    kinds = [type(module).__name__ for module in FashionCNN().modules() if not list(module.children())]
    convolutions = ["Conv2d", "ReLU", "MaxPool2d"] * 2
    assert [kind for kind in kinds if kind != "Dropout"] == [*convolutions, "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize("network", [FashionCNN(), FashionCNN(wide=True), MLP(features=784, hidden=[8], classes=10)])
def test_a_deployable_of_one_input_scripts_and_answers_the_same(network: nn.Module) -> None:
    spec = ModelSpec(
        name="m",
        build=lambda: network,
        preprocess=lambda: standardize(scale=1 / 255, mean=[0.286], std=[0.353], shape=(1, 28, 28)),
        inputs=(PICTURE,),
        labels=tuple("abcdefghij"),
    )
    model = spec.deployable(network.eval())
    raw = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert not model.training
    assert [name for name, _ in model.named_children()] == ["preprocess", "network"]
    assert torch.allclose(model(raw), network((raw.float() / 255 - 0.286) / 0.353), atol=1e-5, rtol=1e-5)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        scripted = torch.jit.script(model)
    assert torch.equal(scripted(raw), model(raw))


class _Sum(nn.Module):
    def forward(self, table: Tensor, index: Tensor) -> Tensor:
        return table + index[:, None]


def test_several_inputs_come_in_the_order_of_the_spec() -> None:
    inputs = (
        InputSpec(name="table", dtype="float32", shape=(2,), low=-9, high=9),
        InputSpec(name="index", dtype="int64", shape=(), low=0, high=9),
    )
    spec = ModelSpec(
        name="m", build=_Sum, preprocess=lambda: Each([ToFloat(), Unchanged()]), inputs=inputs, labels=("a", "b")
    )
    model = spec.deployable(spec.build().eval())
    logits = model(torch.tensor([[1.0, 2.0]]), torch.tensor([3]))
    assert torch.equal(logits, torch.tensor([[4.0, 5.0]]))


def test_a_spec_checks_inputs_and_labels() -> None:
    with pytest.raises(UsageError, match="inputs: expected one or more of different names"):
        ModelSpec(name="m", build=_Sum, preprocess=ToFloat, inputs=(PICTURE, PICTURE), labels=("a", "b"))
    with pytest.raises(UsageError, match="labels: expected at least 2, found 1"):
        ModelSpec(name="m", build=_Sum, preprocess=ToFloat, inputs=(PICTURE,), labels=("a",))


def spec(task: TaskName, *labels: str, activation: Activation | None = None) -> ModelSpec:
    return ModelSpec(
        name="net",
        build=nn.Identity,
        preprocess=nn.Identity,
        inputs=(TABLE,),
        labels=labels,
        task=task,
        activation=activation,
    )


def test_a_fault_in_the_output_of_the_smallest_unit_is_found() -> None:
    answers = np.random.default_rng(0).normal([1e5, 0.002], [2e4, 0.001], (64, 2)).astype(np.float32)
    wrong = answers * np.array([1, 1.5], np.float32)
    assert compare(answers, wrong, fitted(FLOAT32, answers, noise=0.0)).passed
    outputs = spec("regression", "price", "weight").compared
    assert [output.name for output in outputs] == ["price", "weight"]
    found = compare(answers, wrong, fitted(in_outputs(FLOAT32, outputs), answers, noise=(0.0, 0.0)))
    assert not found.passed
    assert found.reason.startswith("output weight at [")


def test_outputs_of_one_unit_are_compared_together() -> None:
    assert spec("regression", "price").compared == ()
    assert spec("classification", "a", "b").compared == ()
    assert spec("multi-label", "a", "b").compared == ()


@pytest.mark.parametrize(("task", "activation"), [("regression", "sigmoid"), ("multi-label", "softmax")])
def test_an_activation_that_a_task_does_not_have(task: TaskName, activation: Activation) -> None:
    with pytest.raises(UsageError, match=rf"activation: expected none.* may be in {task}, found '{activation}'"):
        spec(task, "a", "b", activation=activation)
