"""Channel pruning: whole channels go, and with them their part of every layer that writes or reads them."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch_pruning import ops

from pipeline.compress.touched import (
    LayerTouch,
    PassReport,
    evaluation,
    layer_macs,
    refuse_computed,
    refuse_quantized,
    weighted_layers,
    weights_of,
)
from pipeline.errors import RecipeError
from pipeline.models.spec import Deployable, DeployableOfSeveral, inner_network
from pipeline.threads import one_thread

_KIND = "channel-pruning"
# Layers named in what is said of the pass.
_LISTED = 6
_NORMS = {"l1": 1, "l2": 2}
# Layers whose channels may go. What mixes channels in another way (attention, a recurrent layer, a bare parameter)
# keeps all of them, and so does what is joined to it.
_PER_CHANNEL = (_ConvNd, nn.Linear, _BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.PReLU)
# Normalisation over channels: with fewer of them it is another function, and cannot be held against the whole one.
_OVER_CHANNELS = (nn.GroupNorm, nn.LayerNorm)
# What may differ between the pruned network and the whole one with the same channels unread, as a share of its largest
# answer: float sums in another order, over a few dozen layers.
_SAME = 1e-3


@dataclass(frozen=True, kw_only=True)
class _Coupled:
    """Layers that share their channels: one goes in all of them or in none.

    Args:
        layers: names of those that write the channels.
        root: one of them.
        prune: how the library prunes it.
        channels: how many there are.
        blocks: of equal size, that must lose the same places, because a grouped layer reads or writes them.
        scores: importance of each place of a block, mean over the blocks.
    """

    layers: tuple[str, ...]
    root: nn.Module
    prune: Any
    channels: int
    blocks: int
    scores: Tensor

    @property
    def places(self) -> int:
        """Channels of one block."""
        return self.channels // self.blocks

    def rounded(self, share: float, round_to: int) -> int:
        """How many places of a block stay."""
        return _rounded(self.places, self.blocks, share, round_to)


def prune(
    network: nn.Module,
    *,
    keep: float,
    scope: Literal["layer", "global"],
    layers: Mapping[str, float],
    round_to: int,
    importance: Literal["l1", "l2"],
    example: tuple[Tensor, ...],
) -> PassReport:
    """Remove channels of convolution and linear layers, in place, those of smallest weights first.

    Which layers share channels is traced by torch-pruning's dependency graph (Fang et al. 2023, "DepGraph: Towards Any
    Structural Pruning", arXiv:2301.12900). A channel counts by the norm of all weights that write or read it. Inputs,
    outputs and the preprocessing keep all of theirs. Among channels of equal norm the last one goes first, so the same
    weights always give the same network.

    Args:
        network: with float weights, alone or with its preprocessing in front.
        keep: share of the channels that stay, above 0 and at most 1.
        scope: rank within each layer, or over all layers together.
        layers: share that stays in single layers, by module name, instead of `keep`; of layers that share their
            channels the largest counts.
        round_to: channel counts become multiples of this.
        importance: norm of a channel's weights.
        example: positional inputs of the network, each (B, ...), to trace and to count multiply-accumulates on.

    Returns:
        What was removed.

    Raises:
        RecipeError: the network is already quantized, computes its weights, cannot be traced, or has no channels that
            may go.
    """
    refuse_quantized(network, _KIND)
    refuse_computed(network, _KIND)
    inner, values = _behind_preprocessing(network, example)
    _check_names(inner, layers)
    before = _sizes(network, example)
    trained = {name: one.requires_grad for name, one in network.named_parameters()}
    whole = copy.deepcopy(inner)
    with evaluation(network):
        graph, sources = _trace(inner, values)
        found = _coupled(graph, inner, sources, norm=_NORMS[importance])
        _check_prunable(found, layers)
        gone = _choose(found, keep=keep, scope=scope, layers=layers, round_to=round_to)
        if not gone:
            raise RecipeError(
                f"{_KIND}: expected layers of more channels than stay, found none with keep = {keep:g} in multiples of "
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


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """Layers that share their channels, some of which may go.

    Args:
        layers: names of those that write the channels.
        channels: how many there are.
        blocks: of equal size, that lose the same places.
    """

    layers: tuple[str, ...]
    channels: int
    blocks: int

    def stay(self, share: float, *, round_to: int) -> int:
        """How many channels stay."""
        return self.blocks * _rounded(self.channels // self.blocks, self.blocks, share, round_to)


def prunable(network: nn.Module, *, example: tuple[Tensor, ...]) -> tuple[Prunable, ...]:
    """The layers whose channels `prune` may remove, in the network's order.

    Args:
        network: with float weights, alone or with its preprocessing in front; left as it is.
        example: positional inputs of the network, each (B, ...).

    Raises:
        RecipeError: as `prune` does.
    """
    refuse_quantized(network, _KIND)
    refuse_computed(network, _KIND)
    inner, values = _behind_preprocessing(copy.deepcopy(network), example)
    with evaluation(inner):
        graph, sources = _trace(inner, values)
        found = _coupled(graph, inner, sources, norm=_NORMS["l2"])
    _check_prunable(found, {})
    return tuple(Prunable(layers=one.layers, channels=one.channels, blocks=one.blocks) for one in found)


def _rounded(places: int, blocks: int, share: float, round_to: int) -> int:
    """The nearest multiple, one at least; all where there are no more, or where all are to stay."""
    if share == 1:
        return places
    step = round_to // math.gcd(round_to, blocks)
    return min(places, max(step, math.floor(share * places / step + 0.5) * step))


def _behind_preprocessing(network: nn.Module, example: tuple[Tensor, ...]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network alone, whose names are the user's own, and what it is given."""
    if not isinstance(network, Deployable | DeployableOfSeveral):
        return network, example
    with torch.no_grad():
        values = network.preprocess(*example)
    return inner_network(network), values if isinstance(values, tuple) else (values,)


def _check_names(inner: nn.Module, layers: Mapping[str, float]) -> None:
    known = [name for name, one in weighted_layers(inner).items() if isinstance(one, _ConvNd | nn.Linear)]
    for name in layers:
        if name not in known:
            raise RecipeError(
                f"{_KIND}: layers: expected names of convolution or linear layers ({', '.join(known) or 'none'}), "
                f"found {name}"
            )


class _Traced(nn.Module):
    """The network behind one layer per input, so that what is joined to an input is known to the trace."""

    def __init__(self, inner: nn.Module, values: Sequence[Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.sources = nn.ModuleList(_source(one) for one in values)

    def forward(self, *values: Tensor) -> Any:
        """Run the network on values that come out of layers."""
        return self.inner(*(source(one) for source, one in zip(self.sources, values, strict=True)))


def _source(values: Tensor) -> nn.Module:
    """A layer that makes as many channels as it is given; nothing where values are no numbers or no channels."""
    kinds: dict[int, type[nn.Module]] = {4: nn.Conv2d, 5: nn.Conv3d}
    if not values.is_floating_point():
        return nn.Identity()
    if values.dim() == 2:  # features
        return nn.Linear(values.shape[1], values.shape[1])
    kind = kinds.get(values.dim())
    return nn.Identity() if kind is None else kind(values.shape[1], values.shape[1], 1)


def _trace(inner: nn.Module, values: tuple[Tensor, ...]) -> tuple[Any, set[nn.Module]]:
    """The library's graph of what depends on what, and the layers that stand for the inputs."""
    for parameter in inner.parameters():
        parameter.requires_grad = True  # the library follows gradients
    with torch.random.fork_rng(devices=[]):
        traced = _Traced(inner, values).eval()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # it guesses what a bare parameter is; here that keeps all its channels
            graph = torch_pruning.DependencyGraph().build_dependency(traced, example_inputs=values)
    except Exception as error:
        raise RecipeError(
            f"{_KIND}: expected a network whose layers can be traced, found {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; leave the pass out"
        ) from error
    return graph, set(traced.sources.modules())


def _coupled(graph: Any, inner: nn.Module, sources: set[nn.Module], *, norm: int) -> list[_Coupled]:
    """Sets of layers whose channels may go, in the network's order."""
    names = {module: name for name, module in inner.named_modules()}
    order = {name: place for place, name in enumerate(weighted_layers(inner))}
    shared = _shared(inner)
    score = torch_pruning.importance.GroupMagnitudeImportance(p=norm)
    found = []
    with one_thread():
        for group in graph.get_all_groups(root_module_types=(ops.TORCH_CONV, ops.TORCH_LINEAR)):
            root, channels = group[0].dep.target.module, len(group[0].idxs)
            blocks = _blocks(graph, group, channels)
            if not blocks or any(_must_stay(graph, item, sources | shared) for item in group.items):
                continue
            writers = {
                names[item.dep.target.module]
                for item in group.items
                if item.dep.target.module in names and names[item.dep.target.module] in order and _writes(graph, item)
            }
            scores = score(group).view(blocks, -1).mean(dim=0)
            found.append(
                _Coupled(
                    layers=tuple(sorted(writers, key=order.__getitem__)),
                    root=root,
                    prune=group[0].dep.handler,
                    channels=channels,
                    blocks=blocks,
                    scores=scores,
                )
            )
    return sorted(found, key=lambda one: order[one.layers[0]])


def _shared(inner: nn.Module) -> set[nn.Module]:
    """Layers of one weight: each would get its own."""
    owners: dict[int, list[nn.Module]] = {}
    for module in inner.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(module)
    return {module for modules in owners.values() if len(modules) > 1 for module in modules}


def _writes(graph: Any, item: Any) -> bool:
    return bool(graph.is_out_channel_pruning_fn(item.dep.handler))


def _must_stay(graph: Any, item: Any, kept: set[nn.Module]) -> bool:
    """Whether one member of a group forbids to prune it."""
    module, node = item.dep.target.module, item.dep.target
    is_output = not node.outputs and _writes(graph, item)
    is_own = not isinstance(module, nn.Module) or not (
        isinstance(module, _PER_CHANNEL) or type(module).__module__ == ops.__name__
    )
    return is_output or is_own or module in kept or any(root is None for root in item.root_idxs)


def _blocks(graph: Any, group: Any, channels: int) -> int:
    """Into how many equal blocks grouped layers cut the channels; 0 where they do not cut them equally."""
    counts = [1]
    for item in group.items:
        module = item.dep.target.module
        if isinstance(module, nn.GroupNorm):
            count, whole = module.num_groups, module.num_channels
        elif isinstance(module, _ConvNd) and module.groups > 1 and module.groups != module.out_channels:
            count = module.groups
            whole = module.out_channels if _writes(graph, item) else module.in_channels
            if module.transposed:
                return 0
        else:
            continue
        if list(item.root_idxs) != list(range(channels)) or whole != channels:
            return 0  # only a part of what it reads, or in another order
        counts.append(count)
    blocks = math.lcm(*counts)
    return blocks if channels % blocks == 0 else 0


def _check_prunable(found: Sequence[_Coupled], layers: Mapping[str, float]) -> None:
    prunable = [name for one in found for name in one.layers]
    if not prunable:
        raise RecipeError(
            f"{_KIND}: expected convolution or linear layers whose channels may go, found none (inputs and outputs "
            "keep theirs); leave the pass out"
        )
    for name in layers:
        if name not in prunable:
            raise RecipeError(
                f"{_KIND}: layers: expected layers whose channels may go ({', '.join(prunable)}), found {name}, "
                "which is joined to an input or output or to what cannot be pruned"
            )


def _choose(
    found: Sequence[_Coupled],
    *,
    keep: float,
    scope: Literal["layer", "global"],
    layers: Mapping[str, float],
    round_to: int,
) -> list[tuple[_Coupled, list[int]]]:
    """The channels that go, by set of layers; sets that keep all are left out."""
    shares: list[float] = []
    own = [max((layers[name] for name in one.layers if name in layers), default=None) for one in found]
    together = [one.scores for one, share in zip(found, own, strict=True) if share is None]
    stays = iter(_globally(together, keep) if scope == "global" else [keep] * len(together))
    shares = [next(stays) if share is None else share for share in own]
    chosen = []
    for one, share in zip(found, shares, strict=True):
        stay = one.rounded(share, round_to)
        ranked = torch.argsort(one.scores, descending=True, stable=True)[stay:].tolist()
        gone = sorted(place + block * one.places for place in ranked for block in range(one.blocks))
        if gone:
            chosen.append((one, gone))
    return chosen


def _globally(scores: Sequence[Tensor], keep: float) -> list[float]:
    """The share of each set that stays when all of them are ranked together."""
    if not scores:
        return []
    ranked = torch.argsort(torch.cat(list(scores)), descending=True, stable=True)
    stays = torch.zeros(len(ranked), dtype=torch.bool)
    stays[ranked[: round(keep * len(ranked))]] = True
    return [float(part.double().mean()) for part in torch.split(stays, [len(one) for one in scores])]


def _remove(graph: Any, inner: nn.Module, whole: nn.Module, gone: Sequence[tuple[_Coupled, list[int]]]) -> bool:
    """Prune the network; in the whole one, let no layer read the same channels.

    Returns:
        Whether both must then answer the same.
    """
    names = {module: name for name, module in inner.named_modules()}
    groups = [graph.get_pruning_group(one.root, one.prune, channels) for one, channels in gone]
    exact = True
    for group in groups:
        for item in group.items:
            module = item.dep.target.module
            exact = exact and not isinstance(module, _OVER_CHANNELS)
            if isinstance(module, _ConvNd | nn.Linear) and not _writes(graph, item):
                _unread(whole.get_submodule(names[module]), list(item.idxs))
    for one, channels in gone:
        # Anew: a set removed before may have moved the places of this one in a layer that reads both.
        graph.get_pruning_group(one.root, one.prune, channels).prune()
    return exact


def _unread(layer: nn.Module, channels: list[int]) -> None:
    """Set the weights to zero by which a layer reads some of its inputs."""
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
    """A network without some channels answers as the whole one that does not read them; else the trace was wrong."""
    with torch.no_grad():
        expected = whole.eval()(*values)
        try:
            found = inner(*values)
        except Exception as error:
            raise RecipeError(
                f"{_KIND}: expected a network that runs with fewer channels, found {type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}; take sizes from the tensors (x.flatten(1), not "
                "x.view(-1, 3136)), or leave the pass out"
            ) from error
    if found.shape != expected.shape:
        difference = f"answers of shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    elif exact and (apart := (found - expected).abs().max().item()) > _SAME * max(expected.abs().max().item(), 1e-3):
        difference = f"answers {apart:.2g} from those of the whole network with the same channels unread"
    else:
        return
    raise RecipeError(
        f"{_KIND}: expected a network whose channels can be traced, found {difference}; its forward rearranges "
        "channels: leave the pass out"
    )


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    weights: dict[str, int]
    macs: dict[str, int]
    parameters: int


def _sizes(network: nn.Module, example: tuple[Tensor, ...]) -> _Sizes:
    return _Sizes(
        weights={
            name: sum(one.numel() for one in weights_of(layer)) for name, layer in weighted_layers(network).items()
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
        kind=_KIND,
        detail=detail,
        layers=layers,
        parameters=after.parameters,
        removed_parameters=before.parameters - after.parameters,
    )
