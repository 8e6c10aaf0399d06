"""Bfloat16 of a module: convolutions and matrix products in it, the rest in float."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import fuse_conv_bn_eval

from pipeline.compress.touched import PassReport, layer_macs, refuse_quantized, report, weighted_layers
from pipeline.errors import RecipeError
from pipeline.models.spec import inner_network

_KIND = "bfloat16"
# Convolutions, and the batch norm that may be folded into each.
_FOLDED = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}


def convert(network: nn.Module, *, keep: Collection[str], example: tuple[Tensor, ...]) -> tuple[nn.Module, PassReport]:
    """Let a network, not its preprocessing, compute in bfloat16 where `torch.autocast` says that this is safe.

    https://docs.pytorch.org/docs/stable/amp.html#cpu-op-specific-behavior

    The modules keep their names and their weights in float32, which an export rounds once and for all. Batch norms are
    folded into the convolutions before them, in float32: folded later they would round otherwise. Convolutions are laid
    out channels last, which bfloat16 is fast in.

    Args:
        network: with float weights, alone or behind its preprocessing; left as it is.
        keep: names of modules that stay in float.
        example: positional inputs of the network, each (B, ...), to count multiply-accumulates on.

    Returns:
        A copy in evaluation mode that answers in float32, and what was touched. It can be traced, not scripted.

    Raises:
        RecipeError: the network is quantized, has no convolution or linear layer left to touch, has a recurrent one,
            does not run in bfloat16, or has no module of a name in `keep`.
    """
    refuse_quantized(network, _KIND)
    layers = weighted_layers(network)
    recurrent = [name for name, layer in layers.items() if not isinstance(layer, _ConvNd | nn.Linear)]
    if recurrent:
        raise RecipeError(
            f"{_KIND}: expected no recurrent layers, which TorchScript cannot run in it, found {recurrent[0]}; "
            "use dynamic-int8"
        )
    converted = copy.deepcopy(network).eval()
    inner = inner_network(converted)
    kept = _modules(inner, keep)
    reached = {*inner.modules()} - {one for module in kept for one in module.modules()}
    touched = {name for name in layers if converted.get_submodule(name) in reached}
    if not touched:
        raise RecipeError(f"{_KIND}: expected a convolution or linear layer to act on, found none; leave the pass out")
    made = report(
        kind=_KIND,
        detail="convolutions and matrix products in bfloat16, the rest in float (torch.autocast)",
        network=network,
        touched=touched,
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )
    _fold_batch_norms(inner)
    for module in _modules(inner, keep):
        _replace_forward(module, _in_float)
    inner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _replace_forward(inner, _in_bfloat16)
    try:
        with torch.no_grad():
            converted(*example)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise RecipeError(
            f"{_KIND}: expected a network that runs in it, found: {reason}; leave the pass out"
        ) from error
    return converted, made


def _modules(network: nn.Module, names: Collection[str]) -> list[nn.Module]:
    known = {name: module for name, module in network.named_modules() if name}
    for name in names:
        if name not in known:
            raise RecipeError(f"{_KIND}: keep: expected names of modules ({', '.join(known)}), found {name}")
    return [known[name] for name in names]


def _fold_batch_norms(network: nn.Module) -> None:
    """Fold what a symbolic trace shows; a network that has none, because its forward branches, stays as it is."""
    try:
        graph = torch.fx.symbolic_trace(network).graph
    except Exception:  # noqa: BLE001 - a user's forward runs on stand-ins for tensors and fails in any way
        return
    calls = [node for node in graph.nodes if node.op == "call_module" and node.args]
    times = Counter(node.target for node in calls)
    for node in calls:
        before = node.args[0]
        if before not in calls or len(before.users) > 1 or times[node.target] > 1 or times[before.target] > 1:
            continue
        convolution, norm = network.get_submodule(before.target), network.get_submodule(node.target)
        if not isinstance(convolution, _ConvNd) or not isinstance(norm, _BatchNorm):
            continue
        if _FOLDED.get(type(convolution)) is type(norm) and norm.running_mean is not None:
            network.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(node.target, nn.Identity().eval())


def _replace_forward(module: nn.Module, around: Callable[..., Any]) -> None:
    """Let a module's forward run inside another function; a module around it would give its layers other names."""
    module.forward = functools.partial(around, module.forward)


def _in_bfloat16(forward: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    # A trace would take what the cache holds for a constant of the first call.
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        logits = forward(*inputs)
    return logits.float()


def _in_float(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    with torch.autocast("cpu", enabled=False):
        return forward(*map(_as_float, inputs), **{name: _as_float(one) for name, one in named.items()})


def _as_float(one: Any) -> Any:
    return one.float() if isinstance(one, Tensor) and one.is_floating_point() else one
