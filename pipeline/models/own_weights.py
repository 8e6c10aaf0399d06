"""Checks that a factory brings weights of its own, where nothing is trained and the recipe names no weights."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec
from pipeline.models.weight_files import some
from pipeline.models.weight_sets import same_numbers

# Difference between the second seed and the recipe's.
_SEED_STEP = 1


def require_own_weights(spec: ModelSpec, network: nn.Module, *, seed: int, reporter: Reporter) -> None:
    """Refuse a network whose weights come from the random generator, by building it under another seed.

    Args:
        spec: specification of the model; it builds the network again.
        network: network as it was built under the seed.
        seed: seed of the recipe.
        reporter: receives a log line where this cannot be checked.

    Raises:
        UsageError: some weights change with the seed; they are named.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + _SEED_STEP)
        rebuilt = spec.build().state_dict()
        seeded = torch.initial_seed() != seed + _SEED_STEP
    state = network.state_dict()
    random = [
        key
        for key, value in state.items()
        if key not in rebuilt or value.shape != rebuilt[key].shape or not same_numbers(value, rebuilt[key])
    ]
    if random:
        raise UsageError(
            f"train.epochs = 0 without model.weights: expected a factory that brings trained weights, found "
            f"{len(random)} of {len(state)} tensors made at random, other ones for every seed: {some(random)}; give "
            "model.weights, load them in the factory, or train for 1 epoch or more"
        )
    if seeded:
        reporter.log(
            "train: the factory seeds torch itself, so nothing tells whether its weights are trained or made at random"
        )
