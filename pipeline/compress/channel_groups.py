"""Which layers of a network share their channels, and which channels may go."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch_pruning import ops

from pipeline.compress.touched import evaluation, refuse_computed, refuse_quantized, weighted_layers
from pipeline.engine.threads import one_thread
from pipeline.errors import UsageError
from pipeline.models.spec import Deployable, DeployableOfSeveral, inner_network

KIND = "channel-pruning"
NORMS = {"l1": 1, "l2": 2}
# Layers whose channels may go. What mixes channels in another way (attention, a recurrent layer, a bare parameter)
# keeps all of them, and so does what is joined to it.
_PER_CHANNEL = (_ConvNd, nn.Linear, _BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.PReLU)


@dataclass(frozen=True, kw_only=True)
class Coupled:
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
        UsageError: as `prune` does.
    """
    refuse_quantized(network, KIND)
    refuse_computed(network, KIND)
    inner, values = behind_preprocessing(copy.deepcopy(network), example)
    with evaluation(inner):
        graph, sources = trace(inner, values)
        found = coupled_layers(graph, inner, sources, norm=NORMS["l2"])
    check_prunable(found, {})
    return tuple(Prunable(layers=one.layers, channels=one.channels, blocks=one.blocks) for one in found)


def _rounded(places: int, blocks: int, share: float, round_to: int) -> int:
    """The nearest multiple, one at least; all where there are no more, or where all are to stay."""
    if share == 1:
        return places
    step = round_to // math.gcd(round_to, blocks)
    return min(places, max(step, math.floor(share * places / step + 0.5) * step))


def behind_preprocessing(network: nn.Module, example: tuple[Tensor, ...]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network alone, whose names are the user's own, and what it is given."""
    if not isinstance(network, Deployable | DeployableOfSeveral):
        return network, example
    with torch.no_grad():
        values = network.preprocess(*example)
    return inner_network(network), values if isinstance(values, tuple) else (values,)


def check_names(inner: nn.Module, layers: Mapping[str, float]) -> None:
    """Stop at a name that is no layer's.

    Args:
        inner: the network without its preprocessing.
        layers: shares by module name.

    Raises:
        UsageError: there is no convolution or linear layer of a name.
    """
    known = [name for name, one in weighted_layers(inner).items() if isinstance(one, _ConvNd | nn.Linear)]
    for name in layers:
        if name not in known:
            raise UsageError(
                f"{KIND}: layers: expected names of convolution or linear layers ({', '.join(known) or 'none'}), "
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


def trace(inner: nn.Module, values: tuple[Tensor, ...]) -> tuple[Any, set[nn.Module]]:
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
        raise UsageError(
            f"{KIND}: expected a network whose layers can be traced, found {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; leave the pass out"
        ) from error
    return graph, set(traced.sources.modules())


def coupled_layers(graph: Any, inner: nn.Module, sources: set[nn.Module], *, norm: int) -> list[Coupled]:
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
                if item.dep.target.module in names and names[item.dep.target.module] in order and writes(graph, item)
            }
            scores = score(group).view(blocks, -1).mean(dim=0)
            found.append(
                Coupled(
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


def writes(graph: Any, item: Any) -> bool:
    """Whether a member of a group writes the channels, and does not read them."""
    return bool(graph.is_out_channel_pruning_fn(item.dep.handler))


def _must_stay(graph: Any, item: Any, kept: set[nn.Module]) -> bool:
    """Whether one member of a group forbids to prune it."""
    module, node = item.dep.target.module, item.dep.target
    is_output = not node.outputs and writes(graph, item)
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
            whole = module.out_channels if writes(graph, item) else module.in_channels
            if module.transposed:
                return 0
        else:
            continue
        if list(item.root_idxs) != list(range(channels)) or whole != channels:
            return 0  # only a part of what it reads, or in another order
        counts.append(count)
    blocks = math.lcm(*counts)
    return blocks if channels % blocks == 0 else 0


def check_prunable(found: Sequence[Coupled], layers: Mapping[str, float]) -> None:
    """Stop where no channels may go, or not those of a layer that the recipe names.

    Args:
        found: sets of layers whose channels may go.
        layers: shares by module name.

    Raises:
        UsageError: one line that says which may.
    """
    prunable = [name for one in found for name in one.layers]
    if not prunable:
        raise UsageError(
            f"{KIND}: expected convolution or linear layers whose channels may go, found none (inputs and outputs "
            "keep theirs); leave the pass out"
        )
    for name in layers:
        if name not in prunable:
            raise UsageError(
                f"{KIND}: layers: expected layers whose channels may go ({', '.join(prunable)}), found {name}, "
                "which is joined to an input or output or to what cannot be pruned"
            )
