"""Prune channels: a whole channel goes, and with it its part of every layer that writes or reads it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pipeline.compress.channel_groups import (
    KIND,
    NORMS,
    Coupled,
    behind_preprocessing,
    check_names,
    check_prunable,
    coupled_layers,
    trace,
    writes,
)
from pipeline.compress.pass_effect import (
    LayerTouch,
    PassReport,
    evaluation,
    layer_macs,
    refuse_computed,
    refuse_quantized,
    weighted_layers,
    weights_of,
)
from pipeline.errors import UsageError
from pipeline.models.spec import tensors_in
from pipeline.recipe.names import ChannelNorm, PruningScope

# The detail of the report names this many layers.
_LISTED = 6
# Normalisation over fewer channels is another function, which cannot be compared with the whole network's.
_OVER_CHANNELS = (nn.GroupNorm, nn.LayerNorm)
# The answers of the pruned network, and of the whole network with the same channels unread, may differ by this share of
# the largest answer: float sums are taken in another order, over a few dozen layers.
_SAME = 1e-3


def prune(
    network: nn.Module,
    *,
    keep: float,
    scope: PruningScope,
    layers: Mapping[str, float],
    round_to: int,
    importance: ChannelNorm,
    example: tuple[Tensor, ...],
) -> PassReport:
    """Remove channels of convolution and linear layers, in place, those of smallest weights first.

    Which layers share channels is traced by torch-pruning's dependency graph (Fang et al. 2023, "DepGraph: Towards Any
    Structural Pruning", arXiv:2301.12900). A channel counts by the norm of all weights that write or read it. Inputs,
    outputs and the preprocessing keep all of theirs. Among channels of equal norm the last one goes first, so the same
    weights always give the same network.

    Args:
        network: network with float weights, alone or with its preprocessing in front.
        keep: share of the channels that stay, above 0 and at most 1.
        scope: whether channels are ranked within each layer or over all layers together.
        layers: share that stays in single layers, by module name, instead of `keep`; among layers that share their
            channels the largest share counts.
        round_to: number of which channel counts become multiples.
        importance: norm of a channel's weights.
        example: positional inputs of the network, each (B, ...), for tracing and for counting multiply-accumulates.

    Returns:
        The report on what was removed.

    Raises:
        UsageError: the network is already quantized, computes its weights, cannot be traced, or has no channels that
            may go.
    """
    refuse_quantized(network, KIND)
    refuse_computed(network, KIND)
    inner, values = behind_preprocessing(network, example)
    check_names(inner, layers)
    before = _sizes(network, example)
    trained = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    whole = copy.deepcopy(inner)
    with evaluation(network):
        graph, sources = trace(inner, values)
        groups = coupled_layers(graph, inner, sources, norm=NORMS[importance])
        check_prunable(groups, layers)
        gone = _choose(groups, keep=keep, scope=scope, layers=layers, round_to=round_to)
        if not gone:
            raise UsageError(
                f"{KIND}: expected layers of more channels than stay, found none with keep = {keep:g} in multiples of "
                f"{round_to}; lower keep or round_to, or leave the pass out"
            )
        exact = _remove(graph, inner, whole, gone)
        _check_same(inner, whole, values, exact=exact)
    for name, parameter in network.named_parameters():
        parameter.requires_grad = trained[name]
    share = f"{keep * 100:g} % of the channels {'per layer' if scope == 'layer' else 'over all layers'} stay"
    listed = [f"{name} {own * 100:g} %" for name, own in layers.items()]
    more = [f"{len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
    own = f" ({', '.join([*listed[:_LISTED], *more])})" if listed else ""
    return _report(
        network, example, before, detail=f"{share}{own}, in multiples of {round_to} ({importance.upper()} norm)"
    )


def _choose(
    groups: Sequence[Coupled],
    *,
    keep: float,
    scope: PruningScope,
    layers: Mapping[str, float],
    round_to: int,
) -> list[tuple[Coupled, list[int]]]:
    """Choose the channels that go from each set of layers; sets that keep all channels are left out."""
    shares: list[float] = []
    own = [max((layers[name] for name in group.layers if name in layers), default=None) for group in groups]
    together = [group.scores for group, share in zip(groups, own, strict=True) if share is None]
    stays = iter(_global_shares(together, keep) if scope == "global" else [keep] * len(together))
    shares = [next(stays) if share is None else share for share in own]
    chosen = []
    for group, share in zip(groups, shares, strict=True):
        stay = group.rounded(share, round_to)
        ranked = torch.argsort(group.scores, descending=True, stable=True)[stay:].tolist()
        gone = sorted(place + block * group.places for place in ranked for block in range(group.blocks))
        if gone:
            chosen.append((group, gone))
    return chosen


def _global_shares(scores: Sequence[Tensor], keep: float) -> list[float]:
    """The share of each set that stays when all of them are ranked together."""
    if not scores:
        return []
    ranked = torch.argsort(torch.cat(list(scores)), descending=True, stable=True)
    stays = torch.zeros(len(ranked), dtype=torch.bool)
    stays[ranked[: round(keep * len(ranked))]] = True
    return [float(part.double().mean()) for part in torch.split(stays, [len(score) for score in scores])]


def _remove(graph: Any, inner: nn.Module, whole: nn.Module, gone: Sequence[tuple[Coupled, list[int]]]) -> bool:
    """Prune the network; in the whole network, let no layer read the same channels.

    Returns:
        Whether both networks must then answer the same.
    """
    names = {module: name for name, module in inner.named_modules()}
    groups = [graph.get_pruning_group(coupled.root, coupled.prune, channels) for coupled, channels in gone]
    exact = True
    for group in groups:
        for item in group.items:
            module = item.dep.target.module
            exact = exact and not isinstance(module, _OVER_CHANNELS)
            if isinstance(module, _ConvNd | nn.Linear) and not writes(graph, item):
                _zero_inputs(whole.get_submodule(names[module]), list(item.idxs))
    for coupled, channels in gone:
        # The group is looked up again: pruning an earlier set may have moved its places in a layer that reads both.
        graph.get_pruning_group(coupled.root, coupled.prune, channels).prune()
    return exact


def _zero_inputs(layer: nn.Module, channels: list[int]) -> None:
    """Set to zero the weights with which a layer reads some of its inputs."""
    assert isinstance(layer, _ConvNd | nn.Linear)
    with torch.no_grad():
        if isinstance(layer, nn.Linear) or layer.groups == 1:
            axis = 0 if isinstance(layer, _ConvNd) and layer.transposed else 1
            layer.weight.index_fill_(axis, torch.tensor(channels), 0.0)
            return
        wide, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
        for channel in channels:
            block, place = divmod(channel, wide)
            layer.weight[block * outputs : (block + 1) * outputs, place] = 0.0


def _check_same(inner: nn.Module, whole: nn.Module, values: tuple[Tensor, ...], *, exact: bool) -> None:
    """Check that the network answers as the whole one that does not read the channels; else the trace is wrong."""
    with torch.no_grad():
        expected = _floats(whole.eval()(*values))
        try:
            answers = _floats(inner(*values))
        except Exception as error:
            raise UsageError(
                f"{KIND}: expected a network that runs with fewer channels, found {type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}; take sizes from the tensors (x.flatten(1), not "
                "x.view(-1, 3136)), or leave the pass out"
            ) from error
    for tensor, expected_tensor in zip(answers, expected, strict=True):
        difference = _difference(tensor, expected_tensor, exact=exact)
        if difference:
            raise UsageError(
                f"{KIND}: expected a network whose channels can be traced, found {difference}; its forward rearranges "
                "channels: leave the pass out"
            )


def _floats(answers: object) -> list[Tensor]:
    return [tensor for tensor in tensors_in(answers) if tensor.is_floating_point()]


def _difference(tensor: Tensor, expected: Tensor, *, exact: bool) -> str:
    """How an output of the pruned network differs from the whole one's; empty where it does not."""
    if tensor.shape != expected.shape:
        return f"answers of shape {tuple(tensor.shape)} instead of {tuple(expected.shape)}"
    largest = max(expected.abs().max().item(), 1e-3)
    if exact and (apart := (tensor - expected).abs().max().item()) > _SAME * largest:
        return f"answers {apart:.2g} from those of the whole network with the same channels unread"
    return ""


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    weights: dict[str, int]
    macs: dict[str, int]
    parameters: int


def _sizes(network: nn.Module, example: tuple[Tensor, ...]) -> _Sizes:
    return _Sizes(
        weights={
            name: sum(weight.numel() for weight in weights_of(layer))
            for name, layer in weighted_layers(network).items()
        },
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _report(network: nn.Module, example: tuple[Tensor, ...], before: _Sizes, *, detail: str) -> PassReport:
    after = _sizes(network, example)
    layers = tuple(
        LayerTouch(
            name=name,
            kind=type(layer).__name__,
            weights=after.weights[name],
            zeros=sum(int((weight == 0).sum()) for weight in weights_of(layer)),
            macs=after.macs[name],
            touched=after.weights[name] < before.weights[name],
            removed_weights=before.weights[name] - after.weights[name],
            removed_macs=before.macs[name] - after.macs[name],
        )
        for name, layer in weighted_layers(network).items()
    )
    return PassReport(
        kind=KIND,
        detail=detail,
        layers=layers,
        parameters=after.parameters,
        removed_parameters=before.parameters - after.parameters,
    )
