"""Capture what modules inside a network give: activations, to look at where a network does not do what it should."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.models.spec import ModelSpec, tensors_in
from pipeline.recipe.names import meant

# Number of names that a message lists.
_MOST_NAMES = 40


def capture_activations(
    spec: ModelSpec, network: nn.Module, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run a network once in evaluation mode, and return what some of its modules give.

    Args:
        spec: spec of the model.
        network: network without its preprocessing, on the CPU.
        names: names of modules, as `named_modules` of the network has them.
        inputs: raw values (N, *shape) by input.

    Returns:
        Arrays by module name, each with the examples along its first axis as far as the module has them so. A module
        that gives several tensors has a number behind its name for each, `lstm.0`; one that is called several times has
        the number of the call, `relu#2`.

    Raises:
        UsageError: there is no such module, or it does nothing for these inputs.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    for name in names:
        if name not in modules:
            shown = ", ".join([*list(modules)[:_MOST_NAMES], *(["..."] if len(modules) > _MOST_NAMES else [])])
            raise UsageError(
                f"--module {name}: expected the name of a module of the network ({shown or 'it has none'}), found "
                f"none{meant(name, modules)}"
            )
    calls: dict[str, list[list[Tensor]]] = {name: [] for name in names}
    hooks = [modules[name].register_forward_hook(partial(_keep, calls[name].append)) for name in calls]
    model = spec.deployable(network).eval()
    try:
        with torch.inference_mode():
            model(*(torch.from_numpy(np.ascontiguousarray(inputs[each.name])) for each in spec.inputs))
    finally:
        for hook in hooks:
            hook.remove()
    if silent := [name for name, tensors in calls.items() if not any(tensors)]:
        raise UsageError(
            f"--module {silent[0]}: expected a module that gives tensors for this input, found that the network does "
            "not call it, or that it returns none; name one inside or around it"
        )
    arrays: dict[str, NDArray[Any]] = {}
    for name, results in calls.items():
        for call, tensors in enumerate(results, start=1):
            for part, tensor in enumerate(tensors):
                key = _key(name, call=call, calls=len(results), part=part, parts=len(tensors))
                if key in arrays:
                    raise UsageError(
                        f"--module {name}: expected arrays of different names, found two called {key}: module {key}, "
                        f"and a tensor of another module; capture them in two calls"
                    )
                arrays[key] = tensor.numpy()
    return arrays


def _keep(keep: Callable[[list[Tensor]], None], _module: nn.Module, _inputs: object, output: object) -> None:
    # A later module may work in place on what this one gave.
    keep([tensor.detach().clone() for tensor in tensors_in(output)])


def _key(name: str, *, call: int, calls: int, part: int, parts: int) -> str:
    return name + (f".{part}" if parts > 1 else "") + (f"#{call}" if calls > 1 else "")
