"""A network learns in units of its targets' spread, and answers in the units of the targets before and after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.engine.stage import Silent
from pipeline.tasks.table import task_named
from pipeline.training.examples import Examples
from pipeline.training.standard import InUnits, answering_layer, standardized
from tests.reporters import Lines

RAW = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
TARGETS = (RAW @ torch.tensor([[60.0, 0.0], [0.0, 0.004], [30.0, 0.001]])) + torch.tensor([150.0, -0.02])
TASK = task_named("regression", {"tolerance": [1.0]})


def examples(targets: Tensor = TARGETS) -> Examples:
    return Examples(inputs=(RAW,), labels=targets, pictures=(False,), device=torch.device("cpu"))


def network(*after: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2), *after)


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, raw: Tensor) -> Tensor:
        answer: Tensor = self.head(self.head(raw).repeat(1, 2)[:, :3])
        return answer


class InPlace(Doubled):
    def forward(self, raw: Tensor) -> Tensor:
        answer: Tensor = self.head(raw)
        answer += 1
        return answer


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (network(), "2"),
        (network(nn.Identity()), "2"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Flatten(1)), "1"),
        (network(nn.Softplus()), None),
        (nn.Sequential(nn.Linear(3, 2, bias=False)), None),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))), None),
        (Doubled(), None),
        (InPlace(), None),
    ],
)
def test_the_layer_whose_output_is_the_answer(model: nn.Module, place: str | None) -> None:
    layer = answering_layer(model, (RAW[:5],))
    assert layer is (None if place is None else model.get_submodule(place))
    assert model.training


def test_a_trained_network_answers_alike_inside_and_after_the_block() -> None:
    model = network()
    head = model[2]
    assert isinstance(head, nn.Linear)
    with torch.no_grad():  # it answers in the targets' units already
        head.weight.mul_(torch.tensor([[77.0], [0.004]]))
        head.bias.copy_(torch.tensor([150.0, -0.02]))
    before = model(RAW)
    with standardized(model, examples(), task=TASK, untrained=True, reporter=Silent(), purpose="train") as inside:
        assert isinstance(inside, InUnits)
        torch.testing.assert_close(inside(RAW), before, rtol=1e-4, atol=1e-4)
        # The network itself answers numbers of usual size.
        assert model(RAW).std(dim=0).max() < 10
    torch.testing.assert_close(model(RAW), before, rtol=1e-4, atol=1e-4)


def test_an_untrained_network_starts_from_the_middle_of_the_targets() -> None:
    model = network()
    first = model(RAW).detach()
    with standardized(model, examples(), task=TASK, untrained=True, reporter=Silent(), purpose="train") as inside:
        answers = inside(RAW)
        torch.testing.assert_close(model(RAW), first)
    torch.testing.assert_close(model(RAW), answers, rtol=1e-4, atol=1e-4)
    middle, spread = TARGETS.mean(dim=0), TARGETS.std(dim=0)
    assert bool(((answers.mean(dim=0) - middle).abs() < 2 * spread).all())


def test_a_step_is_as_large_for_each_unit() -> None:
    model = network()
    with standardized(model, examples(), task=TASK, untrained=True, reporter=Silent(), purpose="train") as inside:
        criterion = task_named(
            "regression", {"tolerance": [1.0], "scale": TARGETS.double().std(dim=0).tolist()}
        ).criterion(activation="none", label_smoothing=0.0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(150):
            optimizer.zero_grad()
            loss = criterion(inside(RAW), TARGETS)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.02
    errors = (model(RAW) - TARGETS).abs().mean(dim=0) / TARGETS.std(dim=0)
    assert errors.max().item() < 0.2


def test_a_network_that_cannot_be_changed_learns_in_its_own_units_and_says_so() -> None:
    model, reporter = network(nn.Softplus()), Lines()
    with standardized(model, examples(), task=TASK, untrained=True, reporter=reporter, purpose="train") as inside:
        assert inside is model
    assert "is not that of one nn.Linear with a bias, so it learns in the targets' own units" in reporter.said[0]


def test_nothing_is_done_where_outputs_have_no_units() -> None:
    model = network()
    labels = torch.from_numpy(np.zeros(64, np.int64))
    classifier = task_named("classification")
    with standardized(
        model, examples(labels), task=classifier, untrained=True, reporter=Silent(), purpose="train"
    ) as inside:
        assert inside is model
