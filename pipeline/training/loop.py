"""Train a network, bitwise repeatable on one machine: data in memory as raw values, preprocessing in the graph."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler

from pipeline._handlers.activation import Activation
from pipeline.data.dataset import Split
from pipeline.engine.deadline import UNLIMITED, TimeLimit
from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec, joined
from pipeline.recipe.names import DeviceName, OptimizerName, ScheduleName
from pipeline.tasks.loss import Criterion, Loss
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation, require_pictures
from pipeline.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pipeline.training.device import choose_device, random_state, repeatable, restore_random_state
from pipeline.training.examples import Examples, batches, evaluate, to_examples
from pipeline.training.history import Epoch, Metrics
from pipeline.training.layout import set_layout, to_layout
from pipeline.training.memory import keep_freed_memory
from pipeline.training.optimize import make_optimizer, make_schedule
from pipeline.training.standard import standardized

_STEPS_PER_REPORT = 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of training.

    Args:
        epochs: figures of each epoch.
        final: figures of the trained network on the validation split.
    """

    epochs: tuple[Epoch, ...]
    final: Metrics


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The objects that a step works on; a checkpoint saves and restores the first fields."""

    model: nn.Module
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    device: torch.device
    scratch: Path
    peak_learning_rate: float
    loss: Loss
    augmentation: Augmentation
    copy_moves: Tensor | None
    thaw: bool
    criterion: Criterion | None
    activation: Activation
    task: Task
    metric: str
    purpose: str


def build_network(spec: ModelSpec, *, seed: int) -> nn.Module:
    """Build and initialise a network, the same for the same seed; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build()


def train_network(
    spec: ModelSpec,
    network: nn.Module,
    *,
    task: Task,
    train: Split,
    validation: Split,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerName,
    learning_rate: float,
    weight_decay: float,
    schedule: ScheduleName,
    augmentation: Augmentation,
    seed: int,
    device: DeviceName,
    scratch: Path,
    reporter: Reporter,
    limit: TimeLimit = UNLIMITED,
    loss: Loss,
    criterion: Criterion | None = None,
    copies: bool = False,
    thaw: bool = False,
    untrained: bool = False,
    metric: str | None = None,
    purpose: str = "train",
) -> Trained:
    """Train a network in place; afterwards it is on the CPU in evaluation mode.

    On one machine, with the same number of threads, the same arguments give bitwise the same weights, even when the
    run was killed in between and called again with the same scratch folder.

    Args:
        spec: spec of the model, with the preprocessing and the order of the inputs.
        network: network as initialised, or with weights to start from.
        task: task of the network.
        train: training split with raw inputs and labels.
        validation: split for evaluation after each epoch; it is never trained on.
        epochs: number of passes over the training data; 0 only evaluates.
        batch_size: examples per step.
        optimizer: update rule.
        learning_rate: peak learning rate.
        weight_decay: weight decay, decoupled for adamw, L2 otherwise.
        schedule: schedule of the learning rate, per step over the whole run.
        augmentation: ways in which training pictures are moved.
        seed: seed of shuffling, augmentation and dropout.
        device: device to train on.
        scratch: folder of the checkpoint, which is written after each epoch.
        reporter: reporter that gets loss and score during training.
        limit: time limit, which is checked at each report of progress except the last.
        loss: loss that is minimised.
        criterion: the same loss as a function of answers and labels alone, for validation; None where it needs more.
        copies: whether each epoch draws one of the augmentation's fixed copies for each example, instead of any move.
        thaw: whether every batch norm follows its batches, even one that the network's own `train` keeps as it is.
        untrained: whether the network may not answer in the units of its targets yet, where a task has such.
        metric: name of the mean score, for messages; the task's if None.
        purpose: purpose of this training, for messages.

    Raises:
        UsageError: the loss is no longer finite, the device is not there, or there is nothing to flip or train.
        TimeIsUpError: the limit is reached.
    """
    require_pictures(augmentation, spec.inputs, section=purpose.partition(" ")[0])
    target = choose_device(device)
    examples, held_out = to_examples(spec, train, target), to_examples(spec, validation, target)
    model = spec.deployable(network).to(target)
    layout = set_layout(model, examples.take(torch.arange(min(2, len(examples)), device=target)))
    examples, held_out = replace(examples, layout=layout), replace(held_out, layout=layout)
    with repeatable(target), keep_freed_memory():
        torch.manual_seed(seed)
        history: tuple[Epoch, ...] = ()
        if epochs:
            rule = make_optimizer(
                optimizer, network.parameters(), learning_rate=learning_rate, weight_decay=weight_decay
            )
            steps = epochs * len(batches(torch.arange(len(examples)), batch_size))
            rate = make_schedule(schedule, rule, learning_rate=learning_rate, steps=steps)
            with standardized(
                model,
                examples,
                task=task,
                untrained=untrained,
                reporter=reporter,
                purpose=purpose,
            ) as trained_model:
                run = _Run(
                    model=trained_model,
                    network=network,
                    optimizer=rule,
                    schedule=rate,
                    device=target,
                    scratch=scratch,
                    peak_learning_rate=learning_rate,
                    loss=loss,
                    augmentation=augmentation,
                    copy_moves=augmentation.copies(len(examples)).to(target) if copies else None,
                    thaw=thaw,
                    criterion=criterion,
                    activation=spec.outputs_are,
                    task=task,
                    metric=metric or task.metric,
                    purpose=purpose,
                )
                history = _train(
                    run, examples, held_out, epochs=epochs, batch_size=batch_size, reporter=reporter, limit=limit
                )
        final = (
            history[-1].validation
            if history
            else evaluate(
                model,
                held_out,
                task=task,
                criterion=criterion,
                batch_size=batch_size,
                activation=spec.outputs_are,
            )
        )
        _check_finite(final, "on validation", learning_rate, purpose)
    network.cpu().eval()
    to_layout(network, torch.contiguous_format)
    return Trained(epochs=history, final=final)


def _train(
    run: _Run,
    examples: Examples,
    held_out: Examples,
    *,
    epochs: int,
    batch_size: int,
    reporter: Reporter,
    limit: TimeLimit,
) -> tuple[Epoch, ...]:
    """Train all epochs that a checkpoint does not hold yet; each is evaluated and followed by a checkpoint."""
    history = _resume(run, reporter)
    if history:
        reporter.log(f"{run.purpose}: continues after epoch {len(history)} of {epochs}")
    for epoch in range(len(history) + 1, epochs + 1):
        started = time.perf_counter()
        run.model.train()
        for module in run.network.modules() if run.thaw else ():
            if isinstance(module, _BatchNorm):
                module.training = True

        def report(step: int, steps: int, so_far: Metrics, epoch: int = epoch) -> None:
            _check_finite(so_far, f"at epoch {epoch}, step {step}", run.peak_learning_rate, run.purpose)
            completed = (epoch - 1) * steps + step
            figures = so_far.words(run.task, metric=run.metric)
            reporter.progress(run.purpose, completed, epochs * steps, f"epoch {epoch}/{epochs}, {figures}")
            if completed < epochs * steps:
                limit.check()

        while_training = _train_epoch(run, examples, batch_size=batch_size, report=report)
        after = evaluate(
            run.model,
            held_out,
            task=run.task,
            criterion=run.criterion,
            batch_size=batch_size,
            activation=run.activation,
        )
        _check_finite(after, f"on validation after epoch {epoch}", run.peak_learning_rate, run.purpose)
        rate = float(run.schedule.get_last_lr()[0])
        history = (*history, Epoch(epoch=epoch, learning_rate=rate, train=while_training, validation=after))
        _save(run, history)
        seconds = time.perf_counter() - started
        before, then = (metrics.words(run.task, metric=run.metric) for metrics in (while_training, after))
        reporter.log(f"{run.purpose}: epoch {epoch}/{epochs}, {before}; validation {then}; {seconds:.1f} s")
    return history


def _train_epoch(
    run: _Run,
    examples: Examples,
    *,
    batch_size: int,
    report: Callable[[int, int, Metrics], None],
) -> Metrics:
    """Pass once over the examples in a new order; loss and score are those of the changing weights."""
    order = batches(torch.randperm(len(examples)).to(run.device), batch_size)
    loss_sum = torch.zeros((), device=run.device)
    score_sum = torch.zeros((), dtype=torch.int64, device=run.device)
    seen = 0
    so_far = Metrics(loss=math.nan, score=math.nan)
    for step, indices in enumerate(order, start=1):
        copy_B, moves_B3 = _moves(run, indices)
        logits_BK = joined(run.model(*examples.take(indices, moves_B3)))
        labels_B = examples.targets[indices]
        loss = run.loss(logits_BK, labels_B, indices, copy_B)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        run.schedule.step()
        seen += len(indices)
        loss_sum += loss.detach() * len(indices)
        scores = run.task.score_sum(logits_BK.detach(), labels_B, activation=run.activation)
        score_sum = score_sum + scores  # a sum of counts stays a count
        # Figures are not read at every step: reading one waits for the device.
        if step % _STEPS_PER_REPORT == 0 or step == len(order):
            so_far = Metrics(loss=loss_sum.item() / seen, score=score_sum.item() / seen)
            report(step, len(order), so_far)
    return so_far


def _moves(run: _Run, indices_B: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The copy of each example that is used, if there are copies, and the moves of its pictures."""
    if run.copy_moves is not None:
        copy_B = torch.randint(len(run.copy_moves), (len(indices_B),)).to(run.device)
        return copy_B, run.copy_moves[copy_B, indices_B]
    moves_B3 = run.augmentation.draw(len(indices_B))
    return None, None if moves_B3 is None else moves_B3.to(run.device)


def _check_finite(metrics: Metrics, where: str, learning_rate: float, purpose: str) -> None:
    # On validation, the plain loss shows whether the answers are finite, whatever the user's own loss says.
    loss = metrics.loss if metrics.plain_loss is None else metrics.plain_loss
    if loss is None or not math.isfinite(loss):
        raise UsageError(
            f"{purpose}: expected a finite loss, found {loss} {where}; lower {purpose.partition(' ')[0]}.learning_rate "
            f"(now {learning_rate:g}), or check model.preprocessing and model.weights"
        )


def _save(run: _Run, history: tuple[Epoch, ...]) -> None:
    checkpoint = Checkpoint(
        network=run.network.state_dict(),
        optimizer=run.optimizer.state_dict(),
        schedule=run.schedule.state_dict(),
        random=random_state(run.device),
        epochs=history,
    )
    save_checkpoint(run.scratch, checkpoint)


def _resume(run: _Run, reporter: Reporter) -> tuple[Epoch, ...]:
    """Restore the state of the checkpoint, if there is one, and return the epochs completed by then."""
    checkpoint = load_checkpoint(run.scratch, reporter.log)
    if checkpoint is None:
        return ()
    run.network.load_state_dict(checkpoint.network)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    run.schedule.load_state_dict(checkpoint.schedule)
    restore_random_state(checkpoint.random, run.device)
    return checkpoint.epochs
