"""One step of an optimizer: forward pass, loss and gradients of one batch or several, and the change of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline.models.spec import joined
from pipeline.tasks.loss import Loss
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation
from pipeline.training.average import add_to_average
from pipeline.training.data_parallel import DataParallel
from pipeline.training.device import random_state, restore_random_state
from pipeline.training.examples import Examples
from pipeline.training.mixing import Mix, main_labels, mixed_loss
from pipeline.training.state import TrainingState

# The parts of a step: examples are read and changed, then the network learns from them.
Span = Literal["read", "augment", "forward", "loss", "backward", "optimizer"]
_NOTHING = nullcontext()


def unwatched(_span: Span) -> AbstractContextManager[None]:
    """A block around a part of a step that nobody watches."""
    return _NOTHING


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """What a step works on.

    Args:
        state: weights and all that changes with them.
        model: the model of the state, compiled if the recipe says so.
        examples: training examples.
        loss: loss that is minimised.
        task: task of the network.
        activation: activation that its outputs already have.
        augmentation: ways in which training pictures are changed.
        copy_moves: moves (V, N, 3) of fixed copies of the examples, of which each batch draws; None to draw any moves.
        clip_norm: largest norm of all gradients together; None for any.
        span: gives the block around each part of a step, for who watches where its time goes. The optimizer's holds
            the others where it evaluates the batch itself, as LBFGS does.
        parallel: the model in several processes, each of which computes a part of every batch; None in one.
    """

    state: TrainingState
    model: nn.Module
    examples: Examples
    loss: Loss
    task: Task
    activation: Activation
    augmentation: Augmentation
    copy_moves: Tensor | None
    clip_norm: float | None
    span: Callable[[Span], AbstractContextManager[object]] = unwatched
    parallel: DataParallel | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The examples of one forward pass.

    Args:
        indices: their indices, (B,).
        copies: number of the copy of each, (B,); None without copies.
        moves: moves of their pictures, (B, 3); None where nothing moves.
        seed: seed of this process's dropout, where several compute the batch.
    """

    indices: Tensor
    copies: Tensor | None
    moves: Tensor | None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class StepFigures:
    """Sums over the examples of a step, as scalars on the device.

    Args:
        loss_sum: sum of the loss that is minimised.
        score_sum: sum of the task's score.
    """

    loss_sum: Tensor
    score_sum: Tensor


def take_step(stepper: Stepper, parts: Sequence[Tensor]) -> list[StepFigures]:
    """Change the weights once.

    Args:
        stepper: what the step works on.
        parts: indices of the examples of each batch; the gradients of several add up to those of their union,
            but that a loss with weights of classes is a weighted mean of each.

    Returns:
        The figures of each batch, before the step.
    """
    optimizer = stepper.state.optimizer
    if isinstance(optimizer, torch.optim.LBFGS):
        figures = [_lbfgs_step(stepper, optimizer, parts)]
    else:
        figures = _gradient_step(stepper, parts)
    with stepper.span("optimizer"):
        stepper.state.schedule.after_step()
        if stepper.state.average is not None:
            add_to_average(stepper.state.average, stepper.state.model)
    return figures


def _gradient_step(stepper: Stepper, parts: Sequence[Tensor]) -> list[StepFigures]:
    """The step of an optimizer that needs the gradients once."""
    optimizer, scaler = stepper.state.optimizer, stepper.state.precision.scaler
    with stepper.span("optimizer"):
        optimizer.zero_grad()
    total = sum(len(indices_B) for indices_B in parts)
    figures = []
    parallel = stepper.parallel
    for number, indices_B in enumerate(parts, start=1):
        with nullcontext() if parallel is None else parallel.exchanging(gradients=number == len(parts)):
            loss, part = _evaluate(stepper, _draw(stepper, indices_B))
            # The loss is a mean over its batch: weighted so, the gradients are those of the mean over all batches.
            weighted = loss if len(parts) == 1 else loss * (len(indices_B) / total)
            with stepper.span("backward"):
                (weighted if scaler is None else scaler.scale(weighted)).backward()  # type: ignore[no-untyped-call]
        figures.append(part)
    with stepper.span("optimizer"):
        _apply_gradients(stepper)
    return figures


def _apply_gradients(stepper: Stepper) -> None:
    """Change the weights by the gradients that they have."""
    optimizer, scaler = stepper.state.optimizer, stepper.state.precision.scaler
    if stepper.clip_norm is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(trained, stepper.clip_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)  # it leaves a step out whose gradients overflowed, and lowers the scale
        scaler.update()


def _lbfgs_step(stepper: Stepper, optimizer: torch.optim.LBFGS, parts: Sequence[Tensor]) -> StepFigures:
    """The step of LBFGS, which evaluates the same batch several times, each time with the same moves and dropout."""
    (indices_B,) = parts
    device = stepper.state.precision.device
    batch, random = _draw(stepper, indices_B), random_state(device)
    figures: list[StepFigures] = []

    def closure() -> float:
        restore_random_state(random, device)
        optimizer.zero_grad()
        loss, part = _evaluate(stepper, batch)
        with stepper.span("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        figures.append(part)
        return loss.item()

    with stepper.span("optimizer"):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return figures[0]


def _evaluate(stepper: Stepper, batch: Batch) -> tuple[Tensor, StepFigures]:
    """The loss of a batch, with its graph, and its figures."""
    raw, mix = _inputs(stepper, batch)
    precision, parallel = stepper.state.precision, stepper.parallel
    with stepper.span("forward"), precision.forward():
        if parallel is None:
            outputs_BK = joined(stepper.model(*raw))
        else:
            outputs_BK = parallel.answers(raw, count=len(batch.indices), seed=batch.seed)
    if precision.dtype is not None:
        outputs_BK = outputs_BK.float()  # the loss is computed in float32
    with stepper.span("loss"):
        labels_B = stepper.examples.targets[batch.indices]
        loss = mixed_loss(stepper.loss, mix)(outputs_BK, labels_B, batch.indices, batch.copies)
        scores = stepper.task.score_sum(outputs_BK.detach(), main_labels(labels_B, mix), activation=stepper.activation)
    return loss, StepFigures(loss_sum=loss.detach() * len(batch.indices), score_sum=scores)


def _inputs(stepper: Stepper, batch: Batch) -> tuple[tuple[Tensor, ...], Mix | None]:
    """The raw inputs that this process computes, changed as in the whole batch, and how that was mixed."""
    examples, augmentation, parallel = stepper.examples, stepper.augmentation, stepper.parallel
    indices_B, moves = batch.indices, batch.moves
    part = None if parallel is None else parallel.part(len(indices_B))
    if part is not None and not augmentation.of_batches:  # what becomes of an example follows from itself alone
        indices_B, moves, part = indices_B[part], None if moves is None else moves[part], None
    with stepper.span("read"):
        raw = examples.take(indices_B, moves)
    with stepper.span("augment"):
        raw, mix = augmentation.apply(raw, examples.pictures)
    return raw if part is None else tuple(values[part] for values in raw), mix


def _draw(stepper: Stepper, indices_B: Tensor) -> Batch:
    """Draw the copy of each example that is used, if there are copies, and the moves of its pictures."""
    device, count = indices_B.device, len(indices_B)
    seed = 0 if stepper.parallel is None else stepper.parallel.draw_seed()
    with stepper.span("read"):
        if stepper.copy_moves is not None:
            copy_B = torch.randint(len(stepper.copy_moves), (count,)).to(device)
            return Batch(indices=indices_B, copies=copy_B, moves=stepper.copy_moves[copy_B, indices_B], seed=seed)
        moves_B3 = stepper.augmentation.draw(count)
        moves_B3 = None if moves_B3 is None else moves_B3.to(device)
        return Batch(indices=indices_B, copies=None, moves=moves_B3, seed=seed)
