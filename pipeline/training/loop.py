"""Train a network, bitwise repeatable on one machine: data in memory as raw values, preprocessing in the graph."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.engine.stage import Reporter
from pipeline.models.spec import ModelSpec
from pipeline.training.examples import Examples, evaluate
from pipeline.training.history import Epoch, Metrics, Pace, log_epoch, report_scalars
from pipeline.training.leading import agreed, share_state
from pipeline.training.processes import Processes
from pipeline.training.resume import go_on, save
from pipeline.training.run import TrainingRun, placed, require_finite, start_epoch, started
from pipeline.training.selection import best_epoch, is_over, monitored
from pipeline.training.settings import Objective, Session, TrainingData, TrainingSettings
from pipeline.training.step import take_step

_BATCHES_PER_REPORT = 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of training.

    Args:
        epochs: figures of each epoch.
        final: figures of the trained network on the validation split.
        kept: number of the epoch that validation chose, of an ensemble one for each member; empty where the last
            epoch's weights are kept.
        processes: number of processes that trained each epoch; of an ensemble the epochs of all its members, one
            member after the other.
    """

    epochs: tuple[Epoch, ...]
    final: Metrics
    kept: tuple[int, ...] = ()
    processes: tuple[int, ...] = ()


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
        with placed(spec, network, data, settings, session) as (model, _, held_out):
            final = _judge(spec, model, held_out, data, settings, objective, session.processes)
            trained = Trained(epochs=(), final=final)
    require_finite(trained.final, "on validation", settings, session.purpose)
    return trained


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
