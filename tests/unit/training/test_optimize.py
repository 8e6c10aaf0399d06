"""Optimizers do what their names say in the field."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn, optim

from pipeline.recipe.train import Lbfgs
from pipeline.training.optimize import make_optimizer
from pipeline.training.settings import Optimization


def made(**changes: Any) -> optim.Optimizer:
    settings: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.5, "schedule": "constant"}
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    return make_optimizer(Optimization(**settings | changes), [nn.Parameter(torch.zeros(1)), frozen])


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({}, optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.5}),
        ({"momentum": 0.5, "nesterov": False}, optim.SGD, {"momentum": 0.5, "nesterov": False}),
        ({"momentum": 0.0}, optim.SGD, {"momentum": 0.0, "nesterov": False}),
        ({"optimizer": "adam"}, optim.Adam, {"betas": (0.9, 0.999), "weight_decay": 0.5}),
        ({"optimizer": "adamw"}, optim.AdamW, {"betas": (0.9, 0.999), "weight_decay": 0.5}),
        ({"optimizer": "rmsprop"}, optim.RMSprop, {"momentum": 0.0, "alpha": 0.99, "weight_decay": 0.5}),
        ({"optimizer": "rmsprop", "momentum": 0.5}, optim.RMSprop, {"momentum": 0.5}),
        (
            {"optimizer": "lbfgs", "lbfgs": Lbfgs(iterations=7, history=3)},
            optim.LBFGS,
            {"max_iter": 7, "history_size": 3, "line_search_fn": "strong_wolfe"},
        ),
    ],
)
def test_an_optimizer_has_the_settings_of_the_recipe(
    changes: dict[str, Any], kind: type[optim.Optimizer], expected: dict[str, Any]
) -> None:
    optimizer = made(**changes)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in expected} == expected
    assert group["lr"] == 0.1
    assert len(group["params"]) == 1, "a frozen parameter is left out"


def test_a_parameter_may_join_those_that_have_a_momentum_already() -> None:
    early, late = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    settings = Optimization(optimizer="sgd", learning_rate=0.1, weight_decay=0.0, schedule="constant", nesterov=False)
    optimizer = make_optimizer(settings, [early, late], joined_later=True)
    early.grad = torch.ones(1)
    optimizer.step()
    early.grad, late.grad = torch.ones(1), torch.ones(1)
    optimizer.step()
    assert float(late.detach()) == pytest.approx(0.9)
    assert float(early.detach()) == pytest.approx(0.9 - 0.19)
