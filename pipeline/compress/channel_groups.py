"""Find the layers of a network that share their channels, and the channels that may go."""

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

from pipeline.compress.pass_effect import evaluation, refuse_computed, refuse_quantized, weighted_layers
from pipeline.engine.threads import one_thread
from pipeline.errors import UsageError
from pipeline.models.spec import AnyDeployable, inner_network, tensors_in

KIND = "channel-pruning"
NORMS = {"l1": 1, "l2": 2}
# These layers may lose channels. A module that mixes channels in another way (attention, a recurrent layer, a bare
# parameter) keeps all of them, and so does every layer joined to it.
_PER_CHANNEL = (_ConvNd, nn.Linear, _BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.PReLU)


@dataclass(frozen=True, kw_only=True)
class Coupled:
    """A set of layers that share their channels: a channel goes in all of them or in none.

    Args:
        layers: names of the layers that write the channels.
        root: one of these layers.
        prune: function of the library that prunes it.
        channels: number of channels.
        blocks: number of blocks of equal size that must lose the same places, because a grouped layer reads or writes
            them.
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
        """The number of channels in one block."""
        return self.channels // self.blocks

    def rounded(self, share: float, round_to: int) -> int:
        """The number of places of a block that stay."""
        return _round_places(self.places, self.blocks, share, round_to)


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """A set of layers that share their channels, some of which may go.

    Args:
        layers: names of the layers that write the channels.
        channels: number of channels.
        blocks: number of blocks of equal size that lose the same places.
    """

    layers: tuple[str, ...]
    channels: int
    blocks: int

    def stay(self, share: float, *, round_to: int) -> int:
        """The number of channels that stay."""
        return self.blocks * _round_places(self.channels // self.blocks, self.blocks, share, round_to)


def prunable(network: nn.Module, *, example: tuple[Tensor, ...]) -> tuple[Prunable, ...]:
    """The layers whose channels `prune` may remove, in the network's order.

    Args:
        network: network with float weights, alone or with its preprocessing in front; it is left as it is.
        example: positional inputs of the network, each (B, ...).

    Raises:
        UsageError: in the same cases as `prune`.
    """
    refuse_quantized(network, KIND)
    refuse_computed(network, KIND)
    inner, values = behind_preprocessing(copy.deepcopy(network), example)
    with evaluation(inner):
        graph, sources = trace(inner, values)
        groups = coupled_layers(graph, inner, sources, norm=NORMS["l2"])
    check_prunable(groups, {})
    return tuple(Prunable(layers=group.layers, channels=group.channels, blocks=group.blocks) for group in groups)


def _round_places(places: int, blocks: int, share: float, round_to: int) -> int:
    """The nearest multiple, at least one; all places where there are no more, or where the share is 1."""
    if share == 1:
        return places
    step = round_to // math.gcd(round_to, blocks)
    return min(places, max(step, math.floor(share * places / step + 0.5) * step))


def behind_preprocessing(network: nn.Module, example: tuple[Tensor, ...]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network alone, whose layer names are the user's own, and its inputs after preprocessing."""
    if not isinstance(network, AnyDeployable):
        return network, example
    with torch.no_grad():
        values = network.preprocess(*example)
    return inner_network(network), values if isinstance(values, tuple) else (values,)


def check_names(inner: nn.Module, layers: Mapping[str, float]) -> None:
    """Stop at a name that no layer has.

    Args:
        inner: network without its preprocessing.
        layers: shares by module name.

    Raises:
        UsageError: no convolution or linear layer has such a name.
    """
    names = [name for name, layer in weighted_layers(inner).items() if isinstance(layer, _ConvNd | nn.Linear)]
    for name in layers:
        if name not in names:
            raise UsageError(
                f"{KIND}: layers: expected names of convolution or linear layers ({', '.join(names) or 'none'}), "
                f"found {name}"
            )


class _Traced(nn.Module):
    """The network behind one layer per input, so that the trace shows what is joined to an input."""

    def __init__(self, inner: nn.Module, values: Sequence[Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.sources = nn.ModuleList(_source(value) for value in values)

    def forward(self, *values: Tensor) -> Any:
        """Run the network on values that come out of layers; each of several outputs is the end of a path."""
        answers = self.inner(*(source(value) for source, value in zip(self.sources, values, strict=True)))
        if isinstance(answers, Tensor):
            return answers
        # An output may be what another part of the network reads on; a step behind it says that nothing of it may go.
        return [tensor * 1.0 for tensor in tensors_in(answers) if tensor.requires_grad]


def _source(values: Tensor) -> nn.Module:
    """A layer with as many outputs as inputs; an identity where the values are no floats or have no channels."""
    kinds: dict[int, type[nn.Module]] = {4: nn.Conv2d, 5: nn.Conv3d}
    if not values.is_floating_point():
        return nn.Identity()
    if values.dim() == 2:  # features
        return nn.Linear(values.shape[1], values.shape[1])
    kind = kinds.get(values.dim())
    return nn.Identity() if kind is None else kind(values.shape[1], values.shape[1], 1)


def trace(inner: nn.Module, values: tuple[Tensor, ...]) -> tuple[Any, set[nn.Module]]:
    """Trace the library's graph of dependencies, and return it with the layers that stand for the inputs."""
    for parameter in inner.parameters():
        parameter.requires_grad = True  # the library follows gradients
    with torch.random.fork_rng(devices=[]):
        traced = _Traced(inner, values).eval()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            # The library warns that it guesses what a bare parameter is; here that parameter keeps all its channels.
            warnings.simplefilter("ignore")
            graph = torch_pruning.DependencyGraph().build_dependency(traced, example_inputs=values)
    except Exception as error:
        raise UsageError(
            f"{KIND}: expected a network whose layers can be traced, found {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; leave the pass out"
        ) from error
    return graph, set(traced.sources.modules())


def coupled_layers(graph: Any, inner: nn.Module, sources: set[nn.Module], *, norm: int) -> list[Coupled]:
    """Find the sets of layers whose channels may go, in the network's order."""
    names = {module: name for name, module in inner.named_modules()}
    order = {name: place for place, name in enumerate(weighted_layers(inner))}
    shared_layers = _shared_layers(inner)
    score = torch_pruning.importance.GroupMagnitudeImportance(p=norm)
    coupled = []
    with one_thread():
        for group in graph.get_all_groups(root_module_types=(ops.TORCH_CONV, ops.TORCH_LINEAR)):
            root, channels = group[0].dep.target.module, len(group[0].idxs)
            blocks = _blocks(graph, group, channels)
            if not blocks or any(_must_stay(graph, item, sources | shared_layers) for item in group.items):
                continue
            writers = {
                names[item.dep.target.module]
                for item in group.items
                if item.dep.target.module in names and names[item.dep.target.module] in order and writes(graph, item)
            }
            scores = score(group).view(blocks, -1).mean(dim=0)
            coupled.append(
                Coupled(
                    layers=tuple(sorted(writers, key=order.__getitem__)),
                    root=root,
                    prune=group[0].dep.handler,
                    channels=channels,
                    blocks=blocks,
                    scores=scores,
                )
            )
    return sorted(coupled, key=lambda group: order[group.layers[0]])


def _shared_layers(inner: nn.Module) -> set[nn.Module]:
    """The layers that share a weight, of which pruning would give each its own."""
    owners: dict[int, list[nn.Module]] = {}
    for module in inner.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(module)
    return {module for modules in owners.values() if len(modules) > 1 for module in modules}


def writes(graph: Any, item: Any) -> bool:
    """Whether a member of a group writes the channels rather than reads them."""
    return bool(graph.is_out_channel_pruning_fn(item.dep.handler))


def _must_stay(graph: Any, item: Any, kept: set[nn.Module]) -> bool:
    """Whether a member of a group forbids pruning the group."""
    module, node = item.dep.target.module, item.dep.target
    is_output = not node.outputs and writes(graph, item)
    is_own = not isinstance(module, nn.Module) or not (
        isinstance(module, _PER_CHANNEL) or type(module).__module__ == ops.__name__
    )
    return is_output or is_own or module in kept or any(root is None for root in item.root_idxs)


def _blocks(graph: Any, group: Any, channels: int) -> int:
    """The number of equal blocks into which grouped layers cut the channels; 0 where the blocks are not equal."""
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
            return 0  # the channels are only a part of what it reads, or in another order
        counts.append(count)
    blocks = math.lcm(*counts)
    return blocks if channels % blocks == 0 else 0


def check_prunable(groups: Sequence[Coupled], layers: Mapping[str, float]) -> None:
    """Stop where no channels may go at all, or none of a layer that the recipe names.

    Args:
        groups: sets of layers whose channels may go.
        layers: shares by module name.

    Raises:
        UsageError: no channels may go; the message is one line that says which layers may be named.
    """
    prunable_names = [name for group in groups for name in group.layers]
    if not prunable_names:
        raise UsageError(
            f"{KIND}: expected convolution or linear layers whose channels may go, found none (inputs and outputs "
            "keep theirs); leave the pass out"
        )
    for name in layers:
        if name not in prunable_names:
            raise UsageError(
                f"{KIND}: layers: expected layers whose channels may go ({', '.join(prunable_names)}), found {name}, "
                "which is joined to an input or output or to what cannot be pruned"
            )
