"""Answers to a whole split are those of the network in evaluation mode, which is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.training.answers import answers

SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 3)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="uint8", shape=(2, 3, 5), low=0, high=9),),
    labels=("a", "b", "c"),
)


@pytest.mark.parametrize("training", [True, False])
def test_answers_are_those_in_evaluation_mode(training: bool) -> None:
    raw = np.random.default_rng(0).integers(0, 10, (1203, 2, 3, 5), dtype=np.uint8)
    network = SPEC.build().train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    outputs = answers(SPEC, network, Split(inputs={"x": raw}, labels=None), device="cpu")
    assert outputs.dtype == np.float32
    assert outputs.shape == (1203, 3)
    assert network.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value.is_contiguous() for value in network.state_dict().values())
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(raw).float())
    np.testing.assert_allclose(outputs, expected.numpy(), atol=1e-5)
