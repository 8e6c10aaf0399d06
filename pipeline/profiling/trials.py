"""Try a training with one setting changed, in turns with the training as it is: what a hint says was measured."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import median

import psutil
import torch

from pipeline.engine.array_files import memory_bytes
from pipeline.engine.out_of_memory import no_memory
from pipeline.engine.stage import Reporter, Silent
from pipeline.measure.host import usable_cores
from pipeline.profiling.document import Trial, TrialKind
from pipeline.recipe.names import MixedPrecision
from pipeline.training.mixed_precision import choose_precision
from pipeline.training.settings import TrainingSettings

# The share of a step from which on it is worth asking whether the optimizer should step more rarely.
OPTIMIZER_SHARE = 0.25
_TURNS = 3
# Each turn takes the steps that warm it up, then at least so many.
_WARM_UP, _FEWEST_STEPS = 2, 3
_BATCH_FACTORS = (2, 4, 8)
_ACCUMULATED = 4
# What takes longer for each step, or more than this share of the free memory, is left out.
_LONGEST_STEP_S, _MEMORY_SHARE = 2.0, 0.5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the training costs as it is.

    Args:
        step_s: length of a step, in seconds.
        grown_bytes: memory that its steps take, in bytes.
        optimizer_share: share of a step that the optimizer takes.
    """

    step_s: float
    grown_bytes: int
    optimizer_share: float


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A training that can be started with any settings.

    Args:
        steps: starts it; the iterator takes a step at each turn, and gives the number of its examples.
        settings: its settings as they are.
        device: device that it runs on.
        examples: number of training examples.
        turn_s: shortest length of a turn, in seconds.
    """

    steps: Callable[[TrainingSettings], AbstractContextManager[Iterator[int]]]
    settings: TrainingSettings
    device: torch.device
    examples: int
    turn_s: float = 0.15


@dataclass(frozen=True, kw_only=True)
class Change:
    """A changed setting.

    Args:
        kind: what is changed.
        setting: the changed setting, as a person writes it.
        settings: all settings with it.
        threads: number of torch's threads.
    """

    kind: TrialKind
    setting: str
    settings: TrainingSettings
    threads: int


def changes(trainer: Trainer, cost: Cost, *, threads: int, cores: int) -> Iterator[Change]:
    """Yield the changes that mean something for a training.

    Args:
        trainer: the training.
        cost: what it costs as it is.
        threads: number of torch's threads.
        cores: number of cores that the process may use.
    """
    settings = trainer.settings
    if settings.activation_checkpointing:
        other = replace(settings, activation_checkpointing=())
        yield Change(
            kind="activation checkpointing",
            setting="train.activation_checkpointing = []",
            settings=other,
            threads=threads,
        )
    if trainer.device.type == "cpu" and (others := cores if threads != cores else 1) != threads:
        yield Change(kind="threads", setting=f"OMP_NUM_THREADS={others}", settings=settings, threads=others)
    if settings.optimization.optimizer == "lbfgs":
        return  # it needs the loss and the gradients of one batch, as they are
    if (precision := _other_precision(trainer)) is not None:
        yield Change(
            kind="mixed precision",
            setting=f'train.mixed_precision = "{precision}"',
            settings=replace(settings, mixed_precision=precision),
            threads=threads,
        )
    for factor in _BATCH_FACTORS:
        size = settings.batch_size * factor
        if size <= trainer.examples:
            other = replace(settings, batch_size=size)
            yield Change(kind="batch size", setting=f"train.batch_size = {size}", settings=other, threads=threads)
    optimization = settings.optimization
    several = trainer.examples >= _ACCUMULATED * settings.batch_size
    if cost.optimizer_share >= OPTIMIZER_SHARE and optimization.accumulate == 1 and several:
        other = replace(settings, optimization=replace(optimization, accumulate=_ACCUMULATED))
        yield Change(kind="accumulate", setting=f"train.accumulate = {_ACCUMULATED}", settings=other, threads=threads)


def try_otherwise(trainer: Trainer, cost: Cost, *, reporter: Reporter) -> tuple[Trial, ...]:
    """Try each change, in turns with the training as it is.

    Args:
        trainer: the training.
        cost: what it costs as it is.
        reporter: receives a line.
    """
    if trainer.settings.compile:
        reporter.log("profile: nothing is tried otherwise, because train.compile takes half a minute for each setting")
        return ()
    threads = torch.get_num_threads()
    planned = list(changes(trainer, cost, threads=threads, cores=usable_cores()))
    tried = []
    for number, change in enumerate(planned, start=1):
        reporter.progress("tries", number - 1, len(planned), change.setting)
        tried.append(_try(trainer, cost, change, threads=threads))
    reporter.progress("tries", len(planned), len(planned), "")
    return tuple(tried)


def _other_precision(trainer: Trainer) -> MixedPrecision | None:
    """The other number format: that which the device computes in where the recipe says none, and else none."""
    current = choose_precision(trainer.settings.mixed_precision, trainer.device, reporter=Silent(), purpose="train")
    if current.dtype is not None:
        return "off"
    automatic = choose_precision("auto", trainer.device, reporter=Silent(), purpose="train")
    return None if automatic.dtype is None else "auto"


def _try(trainer: Trainer, cost: Cost, change: Change, *, threads: int) -> Trial:
    trial = Trial(kind=change.kind, setting=change.setting, batch_size=change.settings.batch_size)
    factor = change.settings.batch_size / trainer.settings.batch_size
    if why := _too_much(cost, trainer.device, factor):
        return trial.model_copy(update={"left_out": why})
    base_rates, rates, left_out = [], [], ""
    try:
        for _ in range(_TURNS):
            base_rates.append(_rate(trainer, trainer.settings, threads=threads))
            rates.append(_rate(trainer, change.settings, threads=change.threads))
    except (RuntimeError, MemoryError) as error:
        if no_memory(error) is None:
            raise
        left_out = "there is too little memory"
    if left_out:
        gc.collect()
        torch.cuda.empty_cache()
        return trial.model_copy(update={"left_out": left_out})
    gain = median(rate / base for rate, base in zip(rates, base_rates, strict=True))
    return trial.model_copy(update={"rate": median(rates), "base_rate": median(base_rates), "gain": gain})


def _too_much(cost: Cost, device: torch.device, factor: float) -> str:
    """Say why a batch of so many times the size is not tried; empty where it is."""
    if cost.step_s * factor > _LONGEST_STEP_S:
        return f"a step would take some {cost.step_s * factor:.0f} s"
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        process = psutil.Process().memory_info().rss
        free = min(int(psutil.virtual_memory().available), memory_bytes() - process)
    if factor > 1 and cost.grown_bytes * factor > free * _MEMORY_SHARE:
        return f"it would take some {cost.grown_bytes * factor / 1e9:.1f} of the {free / 1e9:.1f} GB that are free"
    return ""


def _rate(trainer: Trainer, settings: TrainingSettings, *, threads: int) -> float:
    """Examples that are trained on in a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with trainer.steps(settings) as steps:
            for _ in range(_WARM_UP):
                next(steps)
            count = examples = 0
            started = time.perf_counter()
            while count < _FEWEST_STEPS or time.perf_counter() - started < trainer.turn_s:
                examples += next(steps)
                count += 1
            return examples / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
