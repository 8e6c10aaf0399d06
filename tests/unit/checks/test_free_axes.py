from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.checks.free_axes import require_free_axes, sized_examples
from pipeline.errors import ProofError, UsageError
from pipeline.models.preprocess import Unchanged
from pipeline.models.spec import ModelSpec

STEPS = InputSpec(name="steps", dtype="float32", shape=(8, 2), low=-np.inf, high=np.inf, dynamic_axes=(0,))
ARRAYS = {"steps": np.random.default_rng(0).normal(0, 1, (10, 8, 2)).astype(np.float32)}


class From(nn.Module):
    """A network that takes lengths from one size to another, and answers NaN below."""

    def __init__(self, smallest: int, largest: int = 1000) -> None:
        super().__init__()
        self.smallest, self.largest = smallest, largest

    def forward(self, steps: Tensor) -> Tensor:
        if steps.shape[1] > self.largest:
            raise IndexError(f"no position {steps.shape[1]}")
        return steps.sum(1) * (math.nan if steps.shape[1] < self.smallest else 1)


def test_every_size_that_the_network_answers_is_proven_and_the_others_are_named() -> None:
    sized = sized_examples(From(2, 16).eval(), [STEPS], ARRAYS)
    assert [group.sizes for group in sized.groups] == ["steps of 4", "steps of 16"]
    assert sized.groups[1].inputs["steps"].shape == (8, 16, 2)
    assert sized.left_out == {
        "steps of 1": "answered NaN or infinity",
        "steps of 17": "raised IndexError: no position 17",
    }
    assert sized.lines()[0] == "other sizes: held against the float network at steps of 4; steps of 16"
    assert "steps of 17 is left out: the float network raised IndexError: no position 17; a request" in sized.lines()[2]


def test_nothing_is_free_nothing_is_tried() -> None:
    sized = sized_examples(From(8, 8).eval(), [replace(STEPS, dynamic_axes=())], ARRAYS)
    assert (sized.groups, sized.left_out, sized.lines()) == ((), {}, [])


def test_a_declared_size_that_the_network_cannot_take_ends_the_build() -> None:
    spec = replace(STEPS, dynamic_sizes=((2, 20),))
    with pytest.raises(
        UsageError,
        match=r"dynamic_sizes: expected a network that answers at every size it is declared to take, found that at "
        r"steps of 20 it raised IndexError: no position 20; narrow dynamic_sizes",
    ):
        sized_examples(From(2, 16).eval(), [spec], ARRAYS)
    sized = sized_examples(From(2, 16).eval(), [replace(STEPS, dynamic_sizes=((2, 16),))], ARRAYS)
    assert [group.sizes for group in sized.groups] == ["steps of 2", "steps of 4", "steps of 12", "steps of 16"]


def test_an_axis_that_is_not_free_in_the_network_ends_the_build_before_training() -> None:
    model = ModelSpec(name="m", build=nn.Identity, preprocess=Unchanged, inputs=(STEPS,), labels=("a", "b"))
    with pytest.raises(
        UsageError,
        match=r"^axis 0 of input steps: dynamic_axes: expected a network that answers at other sizes than the data's "
        r"8, found none: at steps of 17 it raised IndexError: no position 17; take the axis out of dynamic_axes",
    ):
        require_free_axes(model, From(8, 8), ARRAYS)
    require_free_axes(model, From(8, 9).train(), {"steps": ARRAYS["steps"][:, :4]})


class FullOfNoise(nn.Module):
    """A network that answers the same each time at the data's length alone."""

    def forward(self, steps: Tensor) -> Tensor:
        noise = 0 if steps.shape[1] == 8 else torch.rand(len(steps), 1)
        return steps.sum(1) + noise


def test_a_network_that_is_no_function_at_another_size_is_named_with_the_size() -> None:
    with pytest.raises(ProofError, match=r"^with steps of 1: the float network answers otherwise on a second call"):
        sized_examples(FullOfNoise().eval(), [STEPS], ARRAYS)


def test_a_size_at_which_real_examples_hold_only_what_never_occurs_is_left_out() -> None:
    spec = replace(STEPS, low=0, occurs=("noise",))
    padded = {"steps": np.abs(ARRAYS["steps"])}
    padded["steps"][:, 0] = 0
    padded["steps"][:3, :4] = 0
    sized = sized_examples(From(1).eval(), [spec], padded)
    assert [group.sizes for group in sized.groups] == ["steps of 4", "steps of 16", "steps of 17"]
    for group in sized.groups:
        assert len(group.inputs["steps"]) == 8
        assert group.inputs["steps"].any(axis=(1, 2)).all()
    assert (sized.left_out, sized.unfilled) == ({}, ("steps of 1",))
    assert "steps of 1 is left out: cut to it, the first examples hold one value alone" in sized.lines()[1]
