"""Train a network, bitwise repeatable on one machine: data in memory as raw values, preprocessing in the graph."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec
from pipeline.training.augment import require_pictures
from pipeline.training.average import make_average
from pipeline.training.compiled import Compiled
from pipeline.training.data_parallel import DataParallel
from pipeline.training.device import choose_device, repeatable
from pipeline.training.examples import Examples, batches, evaluate, to_examples
from pipeline.training.history import Epoch, Metrics, Pace, log_epoch, report_scalars
from pipeline.training.layout import set_layout, to_layout
from pipeline.training.leading import agreed, share_state
from pipeline.training.memory import keep_freed_memory
from pipeline.training.mixed_precision import choose_precision
from pipeline.training.optimize import make_optimizer
from pipeline.training.processes import Processes, require_place
from pipeline.training.recompute import recomputed
from pipeline.training.resume import go_on, save
from pipeline.training.sampling import Sampler, make_sampler
from pipeline.training.schedule import make_schedule
from pipeline.training.selection import best_epoch, is_over, monitored
from pipeline.training.settings import Objective, Session, TrainingData, TrainingSettings
from pipeline.training.standard import standardized
from pipeline.training.state import TrainingState
from pipeline.training.step import Stepper, take_step

_BATCHES_PER_REPORT = 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of training.

    Args:
        epochs: figures of each epoch.
        final: figures of the trained network on the validation split.
        kept: number of the epoch that validation chose, of an ensemble one for each member; empty where the last
            epoch's weights are kept.
        processes: number of processes that trained each epoch.
    """

    epochs: tuple[Epoch, ...]
    final: Metrics
    kept: tuple[int, ...] = ()
    processes: tuple[int, ...] = ()


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
        _check_finite(metrics, where, self.settings, self.session.purpose)


def build_network(spec: ModelSpec, *, seed: int) -> nn.Module:
    """Build and initialise a network, the same for the same seed; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build()


def train_network(
    spec: ModelSpec,
    network: nn.Module,
    *,
    data: TrainingData,
    settings: TrainingSettings,
    objective: Objective,
    session: Session,
) -> Trained:
    """Train a network in place; afterwards it is on the CPU in evaluation mode.

    On one machine, with the same number of threads, the same arguments give bitwise the same weights, even when the
    run was killed in between and called again with the same scratch folder.

    Args:
        spec: spec of the model, with the preprocessing and the order of the inputs.
        network: network as initialised, or with weights to start from.
        data: what it is trained and validated on.
        settings: how it is trained.
        objective: what is minimised.
        session: where the checkpoints lie, and who is told.

    Raises:
        UsageError: the loss is no longer finite, the device is not there, or a setting does not fit the network.
        FileError: the checkpoint to go on from is damaged.
        TimeIsUpError: the limit is reached.
    """
    if settings.epochs:
        with started(spec, network, data=data, settings=settings, objective=objective, session=session) as run:
            _train(run)
            run.state.keep_weights()
            trained = _outcome(run)
    else:
        with _placed(spec, network, data, settings, session) as (model, _, held_out):
            final = _judge(spec, model, held_out, data, settings, objective, session.processes)
            trained = Trained(epochs=(), final=final)
    _check_finite(trained.final, "on validation", settings, session.purpose)
    return trained


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

    The arguments and errors are those of `train_network`.

    Yields:
        The objects of the training; random numbers are drawn, and memory is kept, as training does.
    """
    with (
        _placed(spec, network, data, settings, session) as (model, examples, held_out),
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
def _placed(
    spec: ModelSpec, network: nn.Module, data: TrainingData, settings: TrainingSettings, session: Session
) -> Iterator[tuple[nn.Module, Examples, Examples]]:
    """Put the network behind its preprocessing, and both splits, where the training runs; afterwards take it back."""
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


def _train(run: TrainingRun) -> None:
    """Train all epochs that a checkpoint does not hold yet; each is evaluated and followed by a checkpoint."""
    state, settings, session = run.state, run.settings, run.session
    processes = session.processes
    if processes.leads:
        go_on(state, settings, session)
    share_state(state, processes)
    report_scalars(session.reporter, state.epochs, purpose=session.purpose, task=run.data.task)
    for number in range(len(state.epochs) + 1, settings.epochs + 1):
        if is_over(state.epochs, settings.selection.early_stopping, settings.selection.monitor):
            break
        started = time.perf_counter()
        while_training = _train_epoch(run, number)
        training_s = time.perf_counter() - started
        after = _judge(run.spec, state.judged_model, run.held_out, run.data, settings, run.objective, processes)
        run.check_finite(after, f"on validation after epoch {number}")
        rate = state.schedule.learning_rate
        epoch = agreed(Epoch(epoch=number, learning_rate=rate, train=while_training, validation=after), processes)
        state.add_epoch(epoch, settings.selection, processes=processes.count)
        state.schedule.after_epoch(monitored(epoch.validation, settings.selection.monitor))
        if processes.leads:
            save(state, settings, session, metric=run.metric)
        log_epoch(
            session.reporter,
            state.epochs,
            purpose=session.purpose,
            task=run.data.task,
            metric=run.metric,
            total=settings.epochs,
            pace=Pace(examples=len(run.stepper.examples), training_s=training_s, epoch_s=time.perf_counter() - started),
        )
    if len(state.epochs) < settings.epochs:
        _tell_of_early_stopping(state.epochs, settings, session.reporter, session.purpose)


def _train_epoch(run: TrainingRun, number: int) -> Metrics:
    """Pass once over the examples in a new order; loss and score are those of the changing weights."""
    stepper, settings, session = run.stepper, run.settings, run.session
    device = stepper.examples.device
    started = time.perf_counter()
    order = start_epoch(run, number)
    batch_count = sum(map(len, order))
    if stepper.parallel is not None:
        stepper.parallel.start_epoch()
    loss_sum = torch.zeros((), device=device)
    score_sum = torch.zeros((), dtype=torch.int64, device=device)
    seen = done = 0
    so_far = Metrics(loss=math.nan, score=math.nan)
    for parts in order:
        for figures in take_step(stepper, parts):
            loss_sum += figures.loss_sum
            score_sum = score_sum + figures.score_sum  # a sum of counts stays a count
        seen += sum(map(len, parts))
        before, done = done, done + len(parts)
        # Figures are not read at every step: reading one waits for the device.
        if done // _BATCHES_PER_REPORT > before // _BATCHES_PER_REPORT or done == batch_count:
            so_far = Metrics(loss=loss_sum.item() / seen, score=score_sum.item() / seen)
            run.check_finite(so_far, f"at epoch {number}, step {done}")
            completed, total = (number - 1) * batch_count + done, settings.epochs * batch_count
            rate = seen / (time.perf_counter() - started)
            detail = f"epoch {number}/{settings.epochs}, {run.words(so_far)}, {rate:,.0f} examples/s"
            session.reporter.progress(session.purpose, completed, total, detail)
            if completed < total:
                session.limit.check()
    if stepper.parallel is not None:
        stepper.parallel.end_epoch(run.state.buffers)
    return so_far


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


def _judge(
    spec: ModelSpec,
    model: nn.Module,
    held_out: Examples,
    data: TrainingData,
    settings: TrainingSettings,
    objective: Objective,
    processes: Processes,
) -> Metrics:
    return evaluate(
        model,
        held_out,
        task=data.task,
        criterion=objective.criterion,
        batch_size=settings.batch_size,
        names=spec.labels,
        activation=spec.outputs_are,
        processes=processes,
    )


def _outcome(run: TrainingRun) -> Trained:
    """The figures of the weights that are kept."""
    epochs, selection = run.state.epochs, run.settings.selection
    kept = (best_epoch(epochs, selection.monitor),) if selection.keep == "best" else ()
    final = epochs[(*kept, len(epochs))[0] - 1].validation
    return Trained(epochs=epochs, final=final, kept=kept, processes=run.state.processes)


def _tell_of_early_stopping(
    epochs: Sequence[Epoch], settings: TrainingSettings, reporter: Reporter, purpose: str
) -> None:
    stopping = settings.selection.early_stopping
    assert stopping is not None  # nothing else ends a training before its last epoch
    what = "metric" if settings.selection.monitor == "metric" else "loss"
    reporter.log(
        f"{purpose}: ends after epoch {len(epochs)} of {settings.epochs}: {stopping.patience} epochs in a row brought "
        f"no better {what} on validation"
    )


def _check_finite(metrics: Metrics, where: str, settings: TrainingSettings, purpose: str) -> None:
    # On validation, the plain loss shows whether the answers are finite, whatever the user's own loss says.
    loss = metrics.loss if metrics.plain_loss is None else metrics.plain_loss
    if loss is None or not math.isfinite(loss):
        raise UsageError(
            f"{purpose}: expected a finite loss, found {loss} {where}; lower {purpose.partition(' ')[0]}.learning_rate "
            f"(now {settings.optimization.learning_rate:g}), or check model.preprocessing and model.weights"
        )
