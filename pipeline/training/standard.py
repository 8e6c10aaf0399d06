"""Let a network learn numbers in units of their spread, while it goes on answering in the units of the targets.

The steps of an optimizer are as large as the learning rate, whatever the unit: a bias that is 0 at first would need
75,000 steps of 0.002 to reach a mean of 150, and a spread of 0.001 is smaller than a single step. So while a network is
trained, its last layer computes (y - center) / scale, and its answers are turned back outside of it. Afterwards the
layer computes y itself, so that nothing of this is left in any file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.engine.stage import Reporter
from pipeline.tasks.task import Task
from pipeline.training.examples import Examples

# Largest number of examples that decide in which units a network answers before it is trained.
_EXAMPLES = 64


class InUnits(nn.Module):
    """A model that answers (y - center) / scale, and what turns its answers back."""

    def __init__(self, model: nn.Module, *, center_K: Tensor, scale_K: Tensor) -> None:
        super().__init__()
        self.model = model
        self.center_K = center_K
        self.scale_K = scale_K

    def forward(self, *raw: Tensor) -> Tensor:
        """Map raw inputs to answers (B, K) in the units of the targets."""
        answers_BK: Tensor = self.model(*raw)
        return answers_BK * self.scale_K + self.center_K


@contextmanager
def standardized(
    model: nn.Module,
    examples: Examples,
    *,
    task: Task,
    untrained: bool,
    reporter: Reporter,
    purpose: str,
) -> Iterator[nn.Module]:
    """Make a network's last layer answer in units of the targets' spread inside the block.

    Args:
        model: model that maps raw inputs to answers; its network is changed in place, and changed back.
        examples: examples to learn from, on the model's device.
        task: task of the network; nothing is done where its outputs have no units.
        untrained: whether the network may not answer in the targets' units yet. It does where its answers are nearer to
            the targets so; else they are taken for standardized ones.
        reporter: receives a line where the last layer cannot be changed.
        purpose: purpose of the training, for that line.

    Yields:
        The model to train, which answers in the units of the targets.
    """
    standard = task.standard(examples.targets.cpu().numpy())
    if standard is None:
        yield model
        return
    first = torch.arange(min(_EXAMPLES, len(examples)), device=examples.targets.device)
    raw, targets_BK = examples.take(first), examples.targets[first]
    layer = answering_layer(model, raw)
    if layer is None:
        reporter.log(
            f"{purpose}: the answer of this network is not that of one nn.Linear with a bias, so it learns in the "
            "targets' own units; where these are far from 1, scale them, or end the network in such a layer"
        )
        yield model
        return
    center_K, scale_K = (torch.from_numpy(values).to(layer.weight) for values in standard)
    if not (untrained and _is_standardized(model, raw, targets_BK, center_K=center_K, scale_K=scale_K)):
        _rescale(layer, factor_K=1 / scale_K, offset_K=-center_K / scale_K)
    try:
        yield InUnits(model, center_K=center_K, scale_K=scale_K)
    finally:
        _rescale(layer, factor_K=scale_K, offset_K=center_K)


def answering_layer(model: nn.Module, raw: tuple[Tensor, ...]) -> nn.Linear | None:
    """Find the linear layer whose output is the model's answer; None where there is none that may be changed.

    Args:
        model: model in any mode, which is restored.
        raw: raw inputs of one or more examples.
    """
    calls: dict[nn.Linear, list[Tensor]] = {}

    def note(layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        same = torch.allclose(F.linear(_inputs[0], layer.weight, layer.bias), output)
        # It is cloned, because what follows may change it in place.
        calls.setdefault(layer, []).append(output.clone() if same else output.new_full((), torch.nan))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    training = model.training
    try:
        with torch.no_grad():
            answers_BK = model.eval()(*raw)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    owners = [owner for module in model.modules() for owner in module.parameters(recurse=False)]
    for layer, outputs in calls.items():
        # A weight that is no parameter is computed, as that of a weight norm; one of two layers may not be changed.
        alone = all(sum(parameter is owner for owner in owners) == 1 for parameter in (layer.weight, layer.bias))
        same = len(outputs) == 1 and outputs[0].numel() == answers_BK.numel()
        if alone and same and torch.equal(outputs[0].reshape(answers_BK.shape), answers_BK):
            return layer
    return None


def _is_standardized(
    model: nn.Module, raw: tuple[Tensor, ...], targets_BK: Tensor, *, center_K: Tensor, scale_K: Tensor
) -> bool:
    """Whether answers are nearer to the targets if they are taken for standardized ones."""
    training = model.training
    with torch.no_grad():
        answers_BK = model.eval()(*raw)
    model.train(training)
    standardized_error = (answers_BK - (targets_BK - center_K) / scale_K).square().mean()
    error = ((answers_BK - targets_BK) / scale_K).square().mean()
    return bool(standardized_error <= error)


def _rescale(layer: nn.Linear, *, factor_K: Tensor, offset_K: Tensor) -> None:
    """Make a layer answer y * factor + offset where it answered y."""
    with torch.no_grad():
        layer.weight.mul_(factor_K[:, None])
        layer.bias.mul_(factor_K).add_(offset_K)
