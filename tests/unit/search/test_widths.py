"""What single layers can lose, on networks of which some refuse, and the plans that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.candidates.context import Context
from pipeline.data.dataset import Split, write_split
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import save_weights
from pipeline.search.widths import Aim, Ladder, Plan, Sensitivity, narrower, plans, scan
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.augment import Augmentation

SCANNED = (
    Sensitivity(layer="wide", divergence={0.5: 0.01, 0.25: 0.02}),
    Sensitivity(layer="delicate", divergence={0.5: 0.02, 0.25: 0.3}),
    Sensitivity(layer="narrow", divergence={}),
)
IMAGE = InputSpec(name="image", dtype="float32", shape=(1, 8, 8), low=0, high=1)


class CountsOnItsSize(nn.Module):
    """As LeNet is often written: the last convolution's channels are a number in `forward`."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 32, 3)
        self.hidden = nn.Linear(32 * 36, 64) if hidden else nn.Identity()
        self.head = nn.Linear(64 if hidden else 32 * 36, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(self.convolution(images).view(-1, 32 * 36)))
        return logits


def context(folder: Path, *, hidden: bool) -> Context:
    torch.manual_seed(0)
    spec = ModelSpec(
        name="m",
        build=lambda: CountsOnItsSize(hidden=hidden),
        preprocess=nn.Identity,
        inputs=(IMAGE,),
        labels=("a", "b", "c", "d", "e"),
    )
    pictures = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
    split = Split(inputs={"image": pictures}, labels=np.zeros(40, np.int64))
    write_split(folder / "train.safetensors", split)
    save_file({"input.image": pictures}, folder / "samples.safetensors")
    save_weights(folder / "weights.safetensors", spec.build())
    return Context(
        model=spec,
        task=ClassificationTask(),
        weights=folder / "weights.safetensors",
        train=folder / "train.safetensors",
        validation=folder / "train.safetensors",
        samples=folder / "samples.safetensors",
        opset=20,
        batch_sizes=(1,),
        evaluator_macs=0,
        augmentation=Augmentation(),
        device="cpu",
        scratch=folder,
        cache=folder,
    )


def test_a_layer_that_cannot_be_pruned_keeps_its_channels_and_the_others_go(tmp_path: Path) -> None:
    made = context(tmp_path, hidden=True)
    found = {one.layer: one.divergence for one in scan(made, round_to=8)}
    assert not found["convolution"]
    values = list(found["hidden"].values())
    assert len(values) >= 4
    assert values == sorted(values)
    ladder = Ladder(
        plans=plans(scan(made, round_to=8), round_to=8),
        context=made,
        aim=Aim(round_to=(8,), parameter_cost=10, mac_cost=1),
    )
    costs = [ladder.cost(plan) for plan in ladder.plans]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0] < 1
    assert ladder.nearest(costs[1]) == ladder.plans[1]


def test_where_every_layer_refuses_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a network that runs with fewer channels, .* take sizes from"):
        scan(context(tmp_path, hidden=False), round_to=8)


def test_plans_narrow_every_layer_as_far_as_the_answers_may_move() -> None:
    made = plans(SCANNED, round_to=16)
    assert made == [
        Plan((("wide", 0.5),), 16),
        Plan((("wide", 0.25), ("delicate", 0.5)), 16),
        Plan((("wide", 0.25), ("delicate", 0.25)), 16),
    ]
    assert made[1].pruning.layers == {"wide": 0.25, "delicate": 0.5}
    assert made[1].pruning.keep == 1.0
    assert made[1].pruning.round_to == 16


def test_one_layer_is_narrowed_to_its_next_level() -> None:
    wide = Plan((("wide", 0.5),), 16)
    assert narrower(wide, SCANNED) == {
        "wide": Plan((("wide", 0.25),), 16),
        "delicate": Plan((("wide", 0.5), ("delicate", 0.5)), 16),
    }
    assert narrower(Plan((("wide", 0.25), ("delicate", 0.25)), 16), SCANNED) == {}


def test_a_level_that_leaves_no_finite_answer_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Iterator[float] = iter([0.1, 0.2, float("inf")])
    monkeypatch.setattr("pipeline.tasks.classification.member.divergence_between", lambda *_: next(found))
    hidden = scan(context(tmp_path, hidden=True), round_to=8)[-1]
    assert list(hidden.divergence.values()) == [0.1, 0.2]


def test_a_layer_with_no_more_channels_than_a_step_keeps_them(tmp_path: Path) -> None:
    made = context(tmp_path, hidden=True)
    assert plans(scan(made, round_to=64), round_to=64) == []
    kept = plans(scan(made, round_to=48), round_to=48)
    assert [dict(plan.shares) for plan in kept] == [{"hidden": 0.75}], "the 32 channels that `forward` counts on stay"
