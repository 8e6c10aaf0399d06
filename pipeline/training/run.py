"""A training made ready: the objects that it works on, and the beginning of an epoch.

It is apart from the loop because a training is also begun without being run to its end, as a profile does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec
from pipeline.training.augment import require_pictures
from pipeline.training.average import make_average
from pipeline.training.compiled import Compiled
from pipeline.training.data_parallel import DataParallel
from pipeline.training.device import choose_device, repeatable
from pipeline.training.examples import Examples, batches, to_examples
from pipeline.training.history import Metrics
from pipeline.training.layout import set_layout, to_layout
from pipeline.training.memory import keep_freed_memory
from pipeline.training.mixed_precision import choose_precision
from pipeline.training.optimize import make_optimizer
from pipeline.training.processes import require_place
from pipeline.training.recompute import recomputed
from pipeline.training.sampling import Sampler, make_sampler
from pipeline.training.schedule import make_schedule
from pipeline.training.settings import Objective, Session, TrainingData, TrainingSettings
from pipeline.training.standard import standardized
from pipeline.training.state import TrainingState
from pipeline.training.step import Stepper


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training: what it was told, and the objects that it works on.

    Args:
        spec: spec of the model.
        data: what it is trained and validated on.
        settings: how it is trained.
        objective: what is minimised.
        session: where the checkpoints lie, and who is told.
        state: weights and all that changes with them.
        stepper: what a step works on.
        sampler: what draws the examples of each epoch.
        held_out: validation split on the device.
    """

    spec: ModelSpec
    data: TrainingData
    settings: TrainingSettings
    objective: Objective
    session: Session
    state: TrainingState
    stepper: Stepper
    sampler: Sampler
    held_out: Examples

    @property
    def metric(self) -> str:
        """The name of the mean score."""
        return self.objective.metric or self.data.task.metric

    def words(self, metrics: Metrics) -> str:
        """Figures as a person reads them."""
        return metrics.words(self.data.task, metric=self.metric)

    def check_finite(self, metrics: Metrics, where: str) -> None:
        """Stop where the loss is no longer finite."""
        require_finite(metrics, where, self.settings, self.session.purpose)


@contextmanager
def started(
    spec: ModelSpec,
    network: nn.Module,
    *,
    data: TrainingData,
    settings: TrainingSettings,
    objective: Objective,
    session: Session,
) -> Iterator[TrainingRun]:
    """Get a training ready for its first step; after the block the network is on the CPU in evaluation mode.

    The arguments and errors are those of `train_network` in `training/loop.py`.

    Yields:
        The objects of the training; random numbers are drawn, and memory is kept, as training does.
    """
    with (
        placed(spec, network, data, settings, session) as (model, examples, held_out),
        standardized(
            model,
            examples,
            task=data.task,
            untrained=settings.untrained,
            reporter=session.reporter,
            purpose=session.purpose,
        ) as trained_model,
    ):
        run = _start(
            spec,
            network,
            trained_model,
            examples,
            held_out,
            data=data,
            settings=settings,
            objective=objective,
            session=session,
        )
        with recomputed(network, settings.activation_checkpointing):
            yield run


@contextmanager
def placed(
    spec: ModelSpec, network: nn.Module, data: TrainingData, settings: TrainingSettings, session: Session
) -> Iterator[tuple[nn.Module, Examples, Examples]]:
    """Put the network behind its preprocessing, and both splits, where the training runs; afterwards take it back.

    The arguments and errors are those of `train_network` in `training/loop.py`.

    Yields:
        The model, and the examples of the training and of the validation split.
    """
    require_pictures(settings.augmentation, spec.inputs, section=session.purpose.partition(" ")[0])
    device = choose_device(settings.device)
    require_place(session.processes, examples=len(data.train), device=device)
    examples, held_out = to_examples(spec, data.train, device), to_examples(spec, data.validation, device)
    model = spec.deployable(network).to(device)
    # Torch's LBFGS looks at all gradients as one vector, which those of pictures laid out channels last cannot be.
    layout = torch.contiguous_format
    if settings.optimization.optimizer != "lbfgs":
        layout = set_layout(model, examples.take(torch.arange(min(2, len(examples)), device=device)))
    examples, held_out = replace(examples, layout=layout), replace(held_out, layout=layout)
    with repeatable(device), keep_freed_memory():
        torch.manual_seed(settings.seed)
        yield model, examples, held_out
    network.cpu().eval()
    to_layout(network, torch.contiguous_format)


def _start(
    spec: ModelSpec,
    network: nn.Module,
    model: nn.Module,
    examples: Examples,
    held_out: Examples,
    *,
    data: TrainingData,
    settings: TrainingSettings,
    objective: Objective,
    session: Session,
) -> TrainingRun:
    """Make the objects of a training, before its first step."""
    device, optimization = examples.device, settings.optimization
    precision = choose_precision(settings.mixed_precision, device, reporter=session.reporter, purpose=session.purpose)
    settings.freezing.prepare(network)
    optimizer = make_optimizer(
        optimization,
        network.parameters(),
        scaled=precision.scaler is not None,
        joined_later=bool(settings.freezing.unfreeze_after),
    )
    steps = len(_groups(batches(torch.arange(len(examples)), settings.batch_size), optimization.accumulate))
    state = TrainingState(
        model=model,
        network=network,
        optimizer=optimizer,
        schedule=make_schedule(
            optimization,
            optimizer,
            epochs=settings.epochs,
            steps_per_epoch=steps,
            monitor=settings.selection.monitor,
        ),
        precision=precision,
        average=None if settings.ema_decay is None else make_average(model, settings.ema_decay),
    )
    processes = session.processes
    copy_moves = settings.augmentation.copies(len(examples)).to(device) if settings.copies else None
    stepper = Stepper(
        state=state,
        model=Compiled(model) if settings.compile else model,
        examples=examples,
        loss=objective.loss,
        task=data.task,
        activation=spec.outputs_are,
        augmentation=settings.augmentation,
        copy_moves=copy_moves,
        clip_norm=optimization.clip_norm,
        parallel=None if processes.alone else DataParallel(model, processes, device=device),
    )
    return TrainingRun(
        spec=spec,
        data=data,
        settings=settings,
        objective=objective,
        session=session,
        state=state,
        stepper=stepper,
        sampler=make_sampler(settings.sampling, examples.targets),
        held_out=held_out,
    )


def start_epoch(run: TrainingRun, number: int) -> Sequence[Sequence[Tensor]]:
    """Put the network into the state in which an epoch trains it, and draw its examples in a new order.

    Args:
        run: the training.
        number: number of the epoch, from 1.

    Returns:
        Indices of the examples of each batch, by step of the optimizer.
    """
    settings, network = run.settings, run.state.network
    run.state.model.train()
    for module in network.modules() if settings.thaw else ():
        if isinstance(module, _BatchNorm):
            module.training = True
    settings.freezing.start_epoch(network, number)
    order = batches(run.sampler.draw().to(run.stepper.examples.device), settings.batch_size)
    return _groups(order, settings.optimization.accumulate)


def _groups(order: Sequence[Tensor], size: int) -> Sequence[Sequence[Tensor]]:
    """The batches of each step of the optimizer."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def require_finite(metrics: Metrics, where: str, settings: TrainingSettings, purpose: str) -> None:
    """Check that a training has not diverged.

    Args:
        metrics: its figures.
        where: the place in the training that they are of.
        settings: how it is trained.
        purpose: its purpose, for the message.

    Raises:
        UsageError: the loss is not finite.
    """
    # On validation, the plain loss shows whether the answers are finite, whatever the user's own loss says.
    loss = metrics.loss if metrics.plain_loss is None else metrics.plain_loss
    if loss is None or not math.isfinite(loss):
        raise UsageError(
            f"{purpose}: expected a finite loss, found {loss} {where}; lower {purpose.partition(' ')[0]}.learning_rate "
            f"(now {settings.optimization.learning_rate:g}), or check model.preprocessing and model.weights"
        )
