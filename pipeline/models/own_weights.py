"""Checks whether a factory brings weights of its own: it must where nothing is trained, and the recipe has none.

Where it does and the network is trained further, the recipe has to say how that network sees its input.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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
    rebuilt, seeded = _rebuilt(spec, seed)
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


def require_weights_made_here(spec: ModelSpec, network: nn.Module, *, seed: int) -> None:
    """Refuse a network that brings trained weights, where the mean and scale of its input would be fitted.

    Args:
        spec: specification of the model; it builds the network again.
        network: network as it was built under the seed.
        seed: seed of the recipe.

    Raises:
        UsageError: some weights are the same under another seed, and not all of one value, as a new layer's may be.
    """
    rebuilt, seeded = _rebuilt(spec, seed)
    own = [
        key
        for key, value in network.state_dict().items()
        if value.ndim > 1
        and key in rebuilt
        and value.shape == rebuilt[key].shape
        and not (value == value.flatten()[0]).all()
        and same_numbers(value, rebuilt[key])
    ]
    if own and not seeded:
        raise UsageError(
            f"model.preprocessing: expected it with a network that brings weights of its own, {some(own)}, for these "
            "were trained with one; give its scale, mean and std, or {} for values as they are"
        )


def _rebuilt(spec: ModelSpec, seed: int) -> tuple[Mapping[str, Tensor], bool]:
    """The weights under another seed, and whether the factory seeds torch itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + _SEED_STEP)
        return spec.build().state_dict(), torch.initial_seed() != seed + _SEED_STEP
