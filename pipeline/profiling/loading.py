"""What adds to the time in which a step waits for its data: each setting of augmentation, and a file that is mapped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from numpy import memmap, ndarray
from torch import Tensor

from pipeline.profiling.document import Loading
from pipeline.profiling.stopwatch import waiter
from pipeline.training.augment import Augmentation
from pipeline.training.examples import Examples
from pipeline.training.mixing import Mixing
from pipeline.training.run import TrainingRun, start_epoch
from pipeline.training.transforms import Transforms

_TURNS = 5


def measure_loading(run: TrainingRun) -> Loading:
    """Load the same batch as it is, without each setting of augmentation, and from memory, in turns.

    Args:
        run: a started training.
    """
    augmentation, examples = run.settings.augmentation, run.stepper.examples
    indices_B = start_epoch(run, 1)[0][0]

    def load(changes: Augmentation, held: Examples = examples, places_B: Tensor = indices_B) -> None:
        moves_B3 = changes.draw(len(places_B))
        moves_B3 = None if moves_B3 is None else moves_B3.to(places_B.device)
        changes.apply(held.take(places_B, moves_B3), held.pictures)

    as_it_is = partial(load, augmentation)
    wait = waiter(examples.device)
    shares = {}
    for key in augmentation.keys:
        name, rest = without(augmentation, key)
        shares[name] = _share_saved(as_it_is, partial(load, rest), wait)
    if not any(isinstance(values, memmap) for values in examples.inputs):
        return Loading(augmentation_shares=shares)
    rows = tuple(
        torch.from_numpy(values[indices_B.cpu().numpy()]).to(examples.device)
        if isinstance(values, ndarray)
        else values.index_select(0, indices_B)
        for values in examples.inputs
    )
    places_B = torch.arange(len(indices_B), device=examples.device)
    from_memory = partial(load, augmentation, replace(examples, inputs=rows), places_B)
    return Loading(augmentation_shares=shares, mapping_share=_share_saved(as_it_is, from_memory, wait))


def without(augmentation: Augmentation, key: str) -> tuple[str, Augmentation]:
    """Leave out a way in which training pictures are changed.

    Args:
        augmentation: all of them.
        key: one of its keys.

    Returns:
        The name of the setting in a recipe, and the other ways.
    """
    if hasattr(augmentation.transforms, key):
        transforms: Any = {key: getattr(Transforms(), key)}
        rest = replace(augmentation, transforms=replace(augmentation.transforms, **transforms))
        return f"train.augmentation.{key}", rest
    if hasattr(augmentation.mixing, key):
        mixing: Any = {key: getattr(Mixing(), key)}
        return f"train.augmentation.{key}", replace(augmentation, mixing=replace(augmentation.mixing, **mixing))
    moves: Any = {key: getattr(Augmentation(), key)}
    return f"train.{key}", replace(augmentation, **moves)


def _share_saved(as_it_is: Callable[[], None], otherwise: Callable[[], None], wait: Callable[[], None]) -> float:
    """The share of a load's time that another way saves: the median over turns, at least 0."""
    shares = []
    for _ in range(1 + _TURNS):  # the first one warms up
        seconds = []
        for load in (as_it_is, otherwise):
            started = time.perf_counter()
            load()
            wait()
            seconds.append(time.perf_counter() - started)
        shares.append(1 - seconds[1] / seconds[0])
    return max(0.0, median(shares[1:]))
