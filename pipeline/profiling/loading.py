"""What each setting of augmentation adds to the time in which a step waits for its data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from statistics import median

from torch import Tensor

from pipeline.profiling.stopwatch import waiter
from pipeline.training.augment import Augmentation
from pipeline.training.loop import TrainingRun, start_epoch
from pipeline.training.mixing import Mixing
from pipeline.training.transforms import Transforms


def augmentation_ms(run: TrainingRun, *, repeats: int) -> dict[str, float]:
    """Load the same batch with all of the augmentation and without each setting of it.

    Args:
        run: a started training.
        repeats: number of times that each is timed; their median counts.

    Returns:
        The difference in milliseconds, by the name of the setting in a recipe; at least 0.
    """
    augmentation = run.settings.augmentation
    if not augmentation.keys:
        return {}
    indices_B = start_epoch(run, 1)[0][0]
    wait = waiter(run.stepper.examples.device)

    def load(changes: Augmentation) -> None:
        moves_B3 = changes.draw(len(indices_B))
        device_moves = None if moves_B3 is None else moves_B3.to(indices_B.device)
        _apply(run, changes, indices_B, device_moves)
        wait()

    load(augmentation)
    whole = _median_ms(lambda: load(augmentation), repeats)
    costs = {}
    for key in augmentation.keys:
        name, changes = without(augmentation, key)
        load(changes)
        costs[name] = max(0.0, whole - _median_ms(lambda changes=changes: load(changes), repeats))  # type: ignore[misc]
    return costs


def without(augmentation: Augmentation, key: str) -> tuple[str, Augmentation]:
    """Leave out a way in which training pictures are changed.

    Args:
        augmentation: all of them.
        key: one of its keys.

    Returns:
        The name of the setting in a recipe, and the other ways.
    """
    for part, name in ((Transforms, "transforms"), (Mixing, "mixing")):
        defaults = {field.name: field.default for field in fields(part)}
        if key in defaults:
            rest = replace(getattr(augmentation, name), **{key: defaults[key]})
            return f"train.augmentation.{key}", replace(augmentation, **{name: rest})
    defaults = {field.name: field.default for field in fields(Augmentation)}
    return f"train.{key}", replace(augmentation, **{key: defaults[key]})


def _apply(run: TrainingRun, changes: Augmentation, indices_B: Tensor, moves_B3: Tensor | None) -> None:
    examples = run.stepper.examples
    changes.apply(examples.take(indices_B, moves_B3), examples.pictures)


def _median_ms(work: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return median(times)
