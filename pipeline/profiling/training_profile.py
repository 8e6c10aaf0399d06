"""Profile the steps of a training: the very steps that `pipeline train` takes, on a copy of the network."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from torch import nn

from pipeline.engine.stage import Reporter, Silent
from pipeline.models.spec import ModelSpec
from pipeline.profiling.document import Profile
from pipeline.profiling.hints import training_hints
from pipeline.profiling.loading import measure_loading
from pipeline.profiling.record import StepSchedule, Switch, record_steps
from pipeline.profiling.stopwatch import waiter
from pipeline.profiling.surroundings import surroundings_of
from pipeline.profiling.trials import Cost, Trainer, try_otherwise
from pipeline.training.run import TrainingRun, start_epoch, started
from pipeline.training.settings import Objective, Session, TrainingData, TrainingSettings
from pipeline.training.step import take_step

# So many epochs that no schedule of the learning rate ends while steps are timed.
_ENDLESS = 10**9


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is profiled.

    Args:
        spec: spec of the model.
        network: network as training starts from it; it is not changed.
        data: what it is trained on.
        settings: how it is trained.
        objective: what is minimised.
        scratch: existing folder; nothing is written there.
    """

    spec: ModelSpec
    network: nn.Module
    data: TrainingData
    settings: TrainingSettings
    objective: Objective
    scratch: Path

    @contextmanager
    def start(self, settings: TrainingSettings, reporter: Reporter | None = None) -> Iterator[TrainingRun]:
        """Start the training of a copy of the network, with these settings."""
        with started(
            self.spec,
            copy.deepcopy(self.network),
            data=self.data,
            settings=replace(settings, epochs=_ENDLESS),
            objective=self.objective,
            session=Session(scratch=self.scratch, reporter=reporter or Silent()),
        ) as run:
            yield run

    @contextmanager
    def steps(self, settings: TrainingSettings) -> Iterator[Iterator[int]]:
        """Start a training; the iterator takes a step at each turn, waits for its end, and gives its examples."""
        with self.start(settings) as run:
            wait = waiter(run.stepper.examples.device)

            def counts() -> Iterator[int]:
                for count in endless_steps(run):
                    wait()
                    yield count

            yield counts()


def endless_steps(run: TrainingRun) -> Iterator[int]:
    """Take the steps of the first epoch, again and again; give the number of examples of each."""
    for _ in itertools.count():
        for parts in start_epoch(run, 1):
            take_step(run.stepper, parts)
            yield sum(map(len, parts))


def profile_training(
    training: Training, plan: StepSchedule, *, recipe: str, folder: Path, trials: bool, reporter: Reporter
) -> Profile:
    """Record and time steps of a training, and try settings that may make it faster.

    Args:
        training: what is profiled.
        plan: which steps are recorded.
        recipe: name of the recipe.
        folder: existing folder that the traces are written to.
        trials: whether other settings are tried.
        reporter: receives a line for each part of the work.

    Raises:
        UsageError: a setting does not fit the network, or the device is not there.
    """
    settings, switch = training.settings, Switch()
    before = psutil.Process().memory_info().rss
    with training.start(settings, reporter) as run:
        reporter.log(f"profile: {plan.wait + plan.warm_up} steps to warm up, {plan.steps} recorded, {plan.steps} timed")
        watched = replace(run, stepper=replace(run.stepper, span=switch.span))
        device = run.stepper.examples.device
        recording = record_steps(
            endless_steps(watched),
            switch,
            plan,
            device=device,
            batch_size=settings.batch_size,
            folder=folder,
            name="trace",
        )
        surroundings = surroundings_of(run.stepper.examples, run.state.precision.dtype, settings)
        loading = measure_loading(run)
        grown = (
            torch.cuda.max_memory_allocated(device)
            if device.type == "cuda"
            else psutil.Process().memory_info().rss - before
        )
    cost = Cost(
        step_s=recording.median_ms / 1000,
        grown_bytes=grown,
        optimizer_share=recording.share(recording.spans_ms.get("optimizer", 0.0)),
    )
    trainer = Trainer(steps=training.steps, settings=settings, device=device, examples=len(training.data.train))
    tried = try_otherwise(trainer, cost, reporter=reporter) if trials else ()
    return Profile(
        recipe=recipe,
        mode="training",
        wait=plan.wait,
        warm_up=plan.warm_up,
        steps=plan.steps,
        surroundings=surroundings,
        recordings=(recording,),
        loading=loading,
        trials=tried,
        hints=training_hints(recording, surroundings, loading=loading, trials=tried),
    )
