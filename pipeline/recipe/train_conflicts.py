"""Combinations of training settings that mean nothing, each named with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.recipe.names import LOSSES

if TYPE_CHECKING:
    from pipeline.recipe.train import Train

# These optimizers have a momentum that a recipe may set.
_WITH_MOMENTUM = ("sgd", "rmsprop")
# These losses have no classes whose targets could be smoothed or weighted.
_OF_VALUES = ("mse", "l1", "smooth-l1")


def conflicts(train: Train) -> list[str]:
    """Every combination of settings that means nothing, as a text: what, expected, the reason, what to do."""
    return [
        *_of_optimizer(train),
        *_of_lbfgs(train),
        *_of_schedule(train),
        *_of_loss(train),
        *_of_freezing(train),
        *_of_the_rest(train),
    ]


def _of_optimizer(train: Train) -> Iterator[str]:
    optimizer = train.optimizer
    if train.momentum is not None and optimizer not in _WITH_MOMENTUM:
        yield (
            f"momentum = {train.momentum:g} with optimizer {optimizer}: expected none, because only "
            f"{' and '.join(_WITH_MOMENTUM)} have a momentum to set; leave it out"
        )
    if train.nesterov is not None and optimizer != "sgd":
        yield f"nesterov with optimizer {optimizer}: expected none, because only sgd has it; leave it out"
    elif train.nesterov and train.momentum == 0:
        yield "nesterov = true with momentum = 0: expected a momentum to look ahead by; raise it, or leave nesterov out"
    if train.lbfgs is not None and optimizer != "lbfgs":
        yield f"lbfgs with optimizer {optimizer}: expected none; set optimizer to lbfgs, or leave the table out"


def _of_lbfgs(train: Train) -> Iterator[str]:
    if train.optimizer != "lbfgs":
        return
    if train.accumulate > 1:
        yield (
            f"accumulate = {train.accumulate} with optimizer lbfgs: expected 1, because each iteration evaluates the "
            "whole batch again; raise batch_size"
        )
    if train.mixed_precision != "off":
        yield (
            f"mixed_precision {train.mixed_precision} with optimizer lbfgs: expected off, because its line search "
            "compares losses that are closer than half precision tells apart"
        )
    if train.clip_norm is not None:
        yield (
            f"clip_norm = {train.clip_norm:g} with optimizer lbfgs: expected none, because its line search needs the "
            "gradients of the loss; leave it out"
        )
    if train.weight_decay:
        yield f"weight_decay = {train.weight_decay:g} with optimizer lbfgs: expected 0, because torch's has none"
    if train.schedule == "one-cycle":
        yield (
            "schedule one-cycle with optimizer lbfgs: expected another, because its line search sets the length of "
            "each step; constant is usual"
        )


def _of_schedule(train: Train) -> Iterator[str]:
    schedule = train.schedule
    if schedule == "step" and train.step is None:
        yield "schedule step: expected [train.step] with every, the epochs between two falls, found none"
    if schedule != "step" and train.step is not None:
        yield f"step with schedule {schedule}: expected none; set schedule to step, or leave the table out"
    if schedule != "reduce-on-plateau" and train.plateau is not None:
        yield f"plateau with schedule {schedule}: expected none; set schedule to reduce-on-plateau, or leave it out"
    if train.warm_up and train.warm_up >= train.epochs > 0:
        yield (
            f"warm_up = {train.warm_up:g} with epochs = {train.epochs}: expected fewer, because the schedule would "
            "never begin; lower it"
        )
    if schedule == "step" and train.step is not None and train.warm_up >= train.step.every:
        yield (
            f"warm_up = {train.warm_up:g} with step.every = {train.step.every}: expected fewer, because the learning "
            "rate would fall before it has risen; lower it"
        )


def _of_loss(train: Train) -> Iterator[str]:
    loss = train.loss
    own = loss is not None and loss not in LOSSES
    if own and train.label_smoothing:
        yield (
            f"label_smoothing = {train.label_smoothing:g} with loss {loss}: expected 0, because it belongs to the "
            "cross-entropy; smooth inside the loss"
        )
    if own and train.class_weights is not None:
        yield (
            f"class_weights with loss {loss}: expected none, because they belong to the built-in losses; weigh inside "
            "the loss"
        )
    if loss in _OF_VALUES and train.label_smoothing:
        yield f"label_smoothing = {train.label_smoothing:g} with loss {loss}: expected 0, because it has no labels"
    if loss in _OF_VALUES and train.class_weights is not None:
        yield f"class_weights with loss {loss}: expected none, because it has no classes; leave them out"
    if train.class_weights is not None and train.sampling == "balanced":
        yield (
            "class_weights with sampling balanced: expected one of them, because both make up for rare classes, and "
            "together they do it twice"
        )
    if isinstance(train.class_weights, dict):
        for name, weight in train.class_weights.items():
            if not 0 < weight < float("inf"):
                yield f"class_weights.{name} = {weight:g}: expected a finite number above 0"


def _of_freezing(train: Train) -> Iterator[str]:
    for name, epochs in train.unfreeze_after.items():
        if train.epochs and epochs >= train.epochs:
            yield (
                f"unfreeze_after.{name} = {epochs}: expected fewer than epochs = {train.epochs}, or it would never be "
                "trained; lower it, or leave it out"
            )


def _of_the_rest(train: Train) -> Iterator[str]:
    if train.mixed_precision == "fp16" and train.device in ("cpu", "mps"):
        yield (
            f"mixed_precision fp16 with device {train.device}: expected a CUDA device, because "
            f"{why_no_fp16(train.device)}; take bf16 or auto"
        )
    if train.activation_checkpointing and train.compile:
        yield (
            "activation_checkpointing with compile: expected one of them, because a compiled network decides itself "
            "what it computes again"
        )
    if train.monitor != "metric" and not train.monitored_by:
        yield (
            f"monitor {train.monitor}: expected keep best, early_stopping or schedule reduce-on-plateau, which go by "
            "it, found none of them; leave it out"
        )


def why_no_fp16(device: str) -> str:
    """Why a kind of device other than CUDA is not trained on in fp16."""
    if device == "cpu":
        return "processors compute fp16 more slowly than float32, and its small range needs scaled gradients"
    return f"scaled gradients are proven on CUDA alone, not on {device}"
