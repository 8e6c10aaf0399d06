"""Candidates of the worked example: what they are made from, once it is built."""

from __future__ import annotations

from pathlib import Path

from pipeline.candidates.context import Context
from pipeline.data.dataset import read_info
from pipeline.models.load import load_model_spec
from pipeline.recipe.loading import load_recipe
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.augment import Augmentation
from tests.example_build import Built
from tests.reporters import Lines


def context_of(built: Built, scratch: Path, reporter: Lines) -> Context:
    """What the `candidates` stage makes candidates from, with few checks of parity."""
    recipe = load_recipe(built.recipe, built.overrides)
    data = built.run_dir / "data"
    scratch.mkdir(exist_ok=True)
    return Context(
        model=load_model_spec(recipe.model, recipe.folder, read_info(data / "data.json")),
        task=ClassificationTask(),
        weights=built.run_dir / "train" / "weights.safetensors",
        train=data / "train.safetensors",
        validation=data / "validation.safetensors",
        samples=built.run_dir / "candidates" / "samples.safetensors",
        opset=20,
        batch_sizes=(1, 7),
        evaluator_macs=0,
        augmentation=Augmentation(),
        device="cpu",
        scratch=scratch,
        cache=scratch / "cache",
        reporter=reporter,
    )
