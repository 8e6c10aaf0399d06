"""Whether a network answers with logits, or with probabilities already: looked at on real examples."""

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

# By chance, logits of so many examples do not all sum to 1.
_EXAMPLES = 64
# float32 and bfloat16 round the sum of a softmax; nothing else comes near to 1 on every example.
_SUM_ERROR = 1e-3
# Makes the last layer's answers leave 0..1, wherever nothing holds them there.
_LARGE = 1e6


def check_activation(spec: ModelSpec, network: nn.Module, *, task: Task, examples: Split, source: str) -> None:
    """Stop where a network's outputs are something else than is declared, or than logits where nothing is.

    Args:
        spec: of the model; says what is declared.
        network: with its weights; left as it is.
        task: what it is for; one whose outputs are no probabilities has nothing to look for.
        examples: real ones; 64 are looked at, or all where there are fewer.
        source: of the network, for messages: the key of the recipe and its value.

    Raises:
        UsageError: undeclared probabilities, or outputs that contradict what is declared.
    """
    if spec.activation == "none" or len(task.activations) == 1:  # whoever says so knows better than the outputs
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
    if spec.activation is None:
        raise UsageError(
            f"{source}: expected logits, {seen}, on {len(rows)} examples; the server would take softmax once more: "
            f'declare model.activation = "{activation}", or let the network return logits; "none" says that it does'
        )
    raise UsageError(
        f'{source}: model.activation = "{spec.activation}": expected outputs that {spec.activation} makes, {seen}, on '
        f'{len(rows)} examples; declare "{activation}", or mend its forward'
    )


def detect_activation(model: nn.Module, raw: tuple[Tensor, ...]) -> Activation:
    """What a network's outputs are.

    Args:
        model: raw inputs positional in, outputs (N, K) out; in evaluation mode.
        raw: of real examples, (N, *shape) each.
    """
    with torch.no_grad():
        outputs_NK = model(*raw)
        if not _within(outputs_NK):
            return "none"
        if bool(((outputs_NK.sum(dim=1) - 1).abs() <= _SUM_ERROR).all()):
            return "softmax"
        # Small logits lie in 0..1 by chance: those of an untrained network of two classes do so often.
        with _large_last_layer(model, raw):
            return "sigmoid" if _within(model(*raw)) else "none"


def _within(outputs_NK: Tensor) -> bool:
    """Whether all are in 0..1, and not the same number for every class and example, as a head of zeros answers."""
    inside = bool(((outputs_NK >= 0) & (outputs_NK <= 1)).all())
    return inside and (bool((outputs_NK != outputs_NK[0, 0]).any()) or bool(outputs_NK.any()))


@contextmanager
def _large_last_layer(model: nn.Module, raw: tuple[Tensor, ...]) -> Iterator[None]:
    """Inside, the parameters of the module that is called last are a million times as large."""
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
