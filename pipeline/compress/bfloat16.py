"""Convert a module to bfloat16: convolutions and matrix products compute in it, the rest in float."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import fuse_conv_bn_eval

from pipeline._handlers.compare import compare, fitted
from pipeline._handlers.tolerance import FLOAT32
from pipeline.compress.pass_effect import PassReport, layer_macs, refuse_quantized, report, weighted_layers
from pipeline.errors import UsageError
from pipeline.models.spec import inner_network, joined

_KIND = "bfloat16"
# Kinds of convolution, each with the batch norm that may be folded into it.
_FOLDED = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
_LAYOUTS = (torch.channels_last, torch.contiguous_format)


def convert(network: nn.Module, *, example: tuple[Tensor, ...]) -> tuple[nn.Module, PassReport]:
    """Let a network, not its preprocessing, compute in bfloat16 where `torch.autocast` says that this is safe.

    https://docs.pytorch.org/docs/stable/amp.html#cpu-op-specific-behavior

    The modules keep their names, and their weights in float32, which an export rounds once and for all. Batch norms are
    folded into the convolutions before them where that changes nothing: they are slow in bfloat16, by a half of the
    time in a MobileNetV2. Convolutions are laid out channels last, which is fast, unless the network cannot take that.

    Args:
        network: network with float weights, alone or behind its preprocessing; it is left as it is.
        example: positional real inputs of the network, each (B, ...).

    Returns:
        A copy in evaluation mode that answers in float32, and what was touched. It can be traced, not scripted.

    Raises:
        UsageError: the network is quantized, has no convolution or linear layer, has a recurrent one, or does not run
            in bfloat16.
    """
    refuse_quantized(network, _KIND)
    inner = weighted_layers(inner_network(network))
    recurrent = [name for name, layer in inner.items() if not isinstance(layer, _ConvNd | nn.Linear)]
    if recurrent:
        raise UsageError(
            f"{_KIND}: expected no recurrent layers, which TorchScript cannot run in it, found {recurrent[0]}; "
            "use dynamic-int8"
        )
    if not inner:
        raise UsageError(f"{_KIND}: expected a convolution or linear layer to act on, found none; leave the pass out")
    pass_report = report(
        kind=_KIND,
        detail="convolutions and matrix products in bfloat16, the rest in float (torch.autocast)",
        network=network,
        touched={name for name, layer in weighted_layers(network).items() if layer in inner.values()},
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )
    folded = _fold(copy.deepcopy(network).eval(), example)
    reason = ""
    for layout in _LAYOUTS:
        converted = _autocast(folded, layout)
        try:
            with torch.no_grad():
                converted(*example)
        except Exception as error:  # noqa: BLE001 - a user's forward gets values of another dtype or layout
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        else:
            return converted, pass_report
    raise UsageError(f"{_KIND}: expected a network that runs in it, found: {reason}; leave the pass out")


def _autocast(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    converted = copy.deepcopy(network)
    for layer in converted.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(memory_format=layout)  # type: ignore[call-overload]
    inner = inner_network(converted)
    # The forward is replaced, because a module around the network would give its layers other names.
    inner.forward = functools.partial(_in_bfloat16, inner.forward)
    return converted


def _in_bfloat16(forward: Callable[..., Any], *inputs: Tensor) -> Any:
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # Autocast does not reach fused transformer layers: they compute in float32.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # With the cache on, a trace would take cached values of the first call for constants.
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            answers = forward(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    # The module around a network of several outputs casts each of them.
    return answers.float() if isinstance(answers, Tensor) else answers


def _fold(network: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """Return a copy with its batch norms folded, if it answers as before; else the network itself.

    A symbolic trace shows which layer feeds which. A forward that branches has no such trace, and the trace is not
    complete where modules are shared under several names or a layer's weights are used beside the layer.
    """
    folded = copy.deepcopy(network)
    try:
        _fold_batch_norms(inner_network(folded))
        with torch.no_grad():
            before, after = (joined(module(*example)).numpy() for module in (network, folded))
    except Exception:  # noqa: BLE001 - a user's forward runs on stand-ins for tensors and fails in any way
        return network
    return folded if compare(before, after, fitted(FLOAT32, before)).passed else network


def _fold_batch_norms(network: nn.Module) -> None:
    # The trace runs the forward of a copy, because a forward may keep what it sees.
    calls = [node for node in torch.fx.symbolic_trace(copy.deepcopy(network)).graph.nodes if node.op == "call_module"]
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, torch.fx.Node) or before not in calls or len(before.users) > 1:
            continue
        convolution, norm = (network.get_submodule(str(call.target)) for call in (before, node))
        if not isinstance(convolution, _ConvNd) or not isinstance(norm, _BatchNorm):
            continue
        if _FOLDED.get(type(convolution)) is type(norm) and norm.running_mean is not None:
            network.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(str(node.target), nn.Identity().eval())
