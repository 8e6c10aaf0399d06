"""The process that times the network in torch builds it from what the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.candidates.eager import EagerSource, eager_subjects
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.recipe.model import Model

SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Linear(3, 2),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="float32", shape=(3,), low=-9, high=9),),
    labels=("a", "b"),
)


@pytest.mark.parametrize(
    "fields",
    [
        {"preprocessing": "torchvision:MobileNet_V2_Weights.IMAGENET1K_V1"},
        {"preprocessing": {"mean": [0.5], "std": [0.25]}, "arguments": {"hidden": [3]}},
        {"weights": "w.pt", "head": "replace", "initialisation": "xavier"},
        {"ensemble": {"seeds": [1, 2]}},
        {"output": ["logits"], "activation": "softmax"},
    ],
)
def test_the_section_of_the_recipe_arrives_as_it_was(fields: dict[str, Any]) -> None:
    model = Model.model_validate({"name": "mlp", **fields})
    files = {name: Path(name) for name in ("folder", "data_info", "model_info", "weights", "samples")}
    source = EagerSource(settings=model, **files)
    for subject in eager_subjects(source, SPEC, batch_sizes=[1], threads=1):
        assert Model.model_validate(subject.job["model"]) == model
