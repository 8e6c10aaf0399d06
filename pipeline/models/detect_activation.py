"""Detects on real examples whether a network answers with logits or already with probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec
from pipeline.tasks.task import Task

# Number of examples. The logits of so many examples do not all sum to 1 by chance.
_EXAMPLES = 64
# Largest error of a sum of 1. float32 and bfloat16 round the sum of a softmax; nothing else comes so near to 1 on every
# example.
_SUM_ERROR = 1e-3
# Factor on the last layer's parameters. With it, answers leave 0..1 unless an activation keeps them there.
_LARGE = 1e6
_OUTPUTS: dict[Activation, str] = {
    "none": "logits",
    "softmax": "the shares of a softmax",
    "sigmoid": "the probabilities of a sigmoid",
}


def check_activation(spec: ModelSpec, network: nn.Module, *, task: Task, examples: Split, source: str) -> None:
    """Raise an error if a network's outputs are not as declared, or not logits where nothing is declared.

    Args:
        spec: specification of the model, with the declared activation.
        network: network with its weights; it is not changed.
        task: task of the network; nothing is checked if its outputs are never probabilities.
        examples: real examples; 64 are used, or all where there are fewer.
        source: source of the network, for messages: the key of the recipe and its value.

    Raises:
        UsageError: the outputs are probabilities and nothing is declared, or they contradict the declaration.
    """
    if spec.activation == "none" or len(task.activations) == 1:  # the user's word counts
        return
    rows = np.unique(np.linspace(0, len(examples) - 1, min(_EXAMPLES, len(examples))).astype(np.int64))
    raw = tuple(torch.from_numpy(examples.inputs[feature.name][rows]) for feature in spec.inputs)
    training = network.training
    activation = detect_activation(spec.deployable(network.eval()), raw)
    network.train(training)
    if activation == spec.outputs_are:
        return
    seen = {
        "none": "found outputs that neither softmax nor sigmoid makes",
        "softmax": "found every output in 0..1 and every sum 1, as softmax makes them",
        "sigmoid": "found every output in 0..1, as sigmoid makes them",
    }[activation]
    if activation not in task.activations:
        raise UsageError(
            f"{source}: expected {' or '.join(_OUTPUTS[form] for form in task.activations)}, {seen}, on {len(rows)} "
            f"examples; in {task.name} the outputs of an example are independent of each other: mend its forward"
        )
    if spec.activation is None:
        once_more = "softmax" if "softmax" in task.activations else "sigmoid"
        raise UsageError(
            f"{source}: expected logits, {seen}, on {len(rows)} examples; the server would take {once_more} once more: "
            f'declare model.activation = "{activation}", or let the network return logits; "none" says that it does'
        )
    raise UsageError(
        f'{source}: model.activation = "{spec.activation}": expected outputs that {spec.activation} makes, {seen}, on '
        f'{len(rows)} examples; declare "{activation}", or mend its forward'
    )


def detect_activation(model: nn.Module, raw: tuple[Tensor, ...]) -> Activation:
    """The activation that a network's outputs have already passed.

    Args:
        model: module in evaluation mode that maps positional raw inputs to outputs (N, K).
        raw: raw inputs of real examples, (N, *shape) each.
    """
    with torch.no_grad():
        outputs_NK = model(*raw)
        if not _within(outputs_NK):
            return "none"
        if bool(((outputs_NK.sum(dim=1) - 1).abs() <= _SUM_ERROR).all()):
            return "softmax"
        # Small logits may lie in 0..1 by chance: those of an untrained network of two classes often do.
        with _large_last_layer(model, raw):
            return "sigmoid" if _within(model(*raw)) else "none"


def _within(outputs_NK: Tensor) -> bool:
    """Whether all outputs are in 0..1, except where all are the same number, as a head of zeros answers."""
    inside = bool(((outputs_NK >= 0) & (outputs_NK <= 1)).all())
    return inside and (bool((outputs_NK != outputs_NK[0, 0]).any()) or bool(outputs_NK.any()))


@contextmanager
def _large_last_layer(model: nn.Module, raw: tuple[Tensor, ...]) -> Iterator[None]:
    """Multiply the parameters of the module that is called last by a million inside the block."""
    called: list[nn.Module] = []

    def note(module: nn.Module, _inputs: object) -> None:
        if any(True for _ in module.parameters(recurse=False)):
            called.append(module)

    hooks = [module.register_forward_pre_hook(note) for module in model.modules()]
    try:
        model(*raw)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = list(called[-1].parameters(recurse=False)) if called else []
    kept = [parameter.clone() for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.mul_(_LARGE)
        yield
    finally:
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.copy_(before)
