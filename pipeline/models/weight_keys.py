"""Brings the keys of a set of weights to a network's own: without the prefix that all wanted keys share in the file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from pipeline.models.weight_files import some
from pipeline.models.weight_sets import WeightSet, is_averaged, require_one

# Prefixes that DataParallel, DistributedDataParallel, AveragedModel and torch.compile put in front of keys.
_WRAPPERS = ("module.", "_orig_mod.")


def with_own_keys(path: Path, weights: WeightSet, network: nn.Module) -> tuple[WeightSet, str]:
    """Bring the keys of a set to a network's own.

    What wrappers put in front of keys or inside them is dropped. Otherwise one prefix must lead to exactly the
    network's keys, each with a tensor of the network's shape; what lies behind other prefixes is left out. A tensor
    that the network holds under several keys may lie under one of them in the file.

    Args:
        path: path of the file, for messages.
        weights: set of tensors by the keys of the file.
        network: network whose keys are wanted.

    Returns:
        The set under the network's keys, and a line about a prefix that was dropped and what was left out, which is
        empty for wrappers. If no prefix fits, the set without the prefixes of wrappers.

    Raises:
        DataError: different tensors fit behind several prefixes; they are named.
    """
    expected: dict[str, Tensor] = network.state_dict()
    aliases = shared_keys(expected)
    spellings = [_completed(spelling, aliases) for spelling in _spellings(weights)]
    for spelling in spellings:
        if spelling.tensors.keys() == expected.keys():
            return spelling, ""
    for spelling in spellings:
        if spelling.tensors.keys() > expected.keys():
            # Keys without a prefix may be meant as well as those behind one. They do not fit, for there are others.
            return _completed(_bare(weights), aliases), ""
        if parts := _fitting_parts(spelling, expected, aliases):
            part = require_one(path, list(parts.values()), network)
            prefix = next(prefix for prefix, candidate in parts.items() if candidate is part)
            return part, _left_out(spelling, prefix)
    for spelling in spellings:
        near = _near_prefixes(spelling, expected)
        if len(near) == 1 and near[0]:
            return _part(spelling, near[0], aliases), _left_out(spelling, near[0])
    return _completed(_bare(weights), aliases), ""


def keys_advice(weights: WeightSet, network: nn.Module) -> str:
    """Advice where the keys of a set do not fit a network.

    Args:
        weights: set of tensors, as `with_own_keys` returns it.
        network: network whose keys are wanted.
    """
    expected: dict[str, Tensor] = network.state_dict()
    if near := [prefix for prefix in _near_prefixes(weights, expected) if prefix]:
        keys = " or ".join(f"model.weights_key = {_name(weights, prefix)!r}" for prefix in near)
        return f"most of the network's are there behind {' and '.join(near)}: give {keys}"
    longer = [
        prefix
        for prefix, count in _prefixes(expected, weights.tensors).items()
        if prefix and count == len(weights.tensors)
    ]
    if longer:
        return (
            f"the network's own keys begin with {longer[0]} and the file's do not: have the factory return that "
            "part of it, or load the file there"
        )
    if all(key.isdecimal() for key in weights.tensors):
        return "they are a list without names: copy them into the network in PyTorch, and save network.state_dict()"
    if weights.tensors.keys() == dict(network.named_parameters()).keys():
        return "these are its parameters without its buffers: add those of another set, {**first, **averaged}, and save"
    return "give the network these weights belong to"


def shared_keys(expected: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """For each key of a tensor that a network holds under several keys, all of them.

    Args:
        expected: state dict of the network, by key.
    """
    groups: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for key, value in expected.items():
        if value.numel() and not value.is_meta:
            groups[value.data_ptr(), value.dtype, value.shape, value.stride()].append(key)
    return {key: keys for keys in groups.values() if len(keys) > 1 for key in keys}


def _spellings(weights: WeightSet) -> Iterator[WeightSet]:
    """The tensors under the keys of the file, then without the prefixes of wrappers, then also without those inside."""
    yield weights
    yield (bare := _bare(weights))
    for wrapper in reversed(_WRAPPERS):
        shorter = {f".{key}".replace(f".{wrapper}", ".")[1:]: value for key, value in bare.tensors.items()}
        if len(shorter) == len(bare.tensors):
            versions = bare.versions and {
                f".{key}.".replace(f".{wrapper}", ".").strip("."): value for key, value in bare.versions.items()
            }
            yield (bare := replace(bare, tensors=shorter, versions=versions))


def _bare(weights: WeightSet) -> WeightSet:
    """The set without the prefixes that wrappers put in front of every key, and without AveragedModel's counter."""
    if is_averaged(weights):
        weights = weights.under("module.", weights.name)
    for wrapper in _WRAPPERS:
        if weights.tensors and all(key.startswith(wrapper) for key in weights.tensors):
            return _bare(weights.under(wrapper, weights.name))
    return weights


def _fitting_parts(
    weights: WeightSet, expected: Mapping[str, Tensor], aliases: Mapping[str, list[str]]
) -> dict[str, WeightSet]:
    """The parts of a set, by their prefixes, that hold exactly the keys of a network, each with its shape."""
    parts = {
        prefix: _part(weights, prefix, aliases)
        for prefix, count in _prefixes(weights.tensors, expected).items()
        if prefix and count >= len(expected) - len(aliases)
    }
    return {
        prefix: part
        for prefix, part in parts.items()
        if part.tensors.keys() == expected.keys()
        and all(part.tensors[key].shape == value.shape for key, value in expected.items())
    }


def _near_prefixes(weights: WeightSet, expected: Mapping[str, Tensor]) -> list[str]:
    """Prefixes behind which a set holds at least half of a network's keys, the empty one included."""
    return [prefix for prefix, count in _prefixes(weights.tensors, expected).items() if 2 * count >= len(expected)]


def _prefixes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Counter[str]:
    """Number of the wanted keys that lie behind each prefix."""
    counts: Counter[str] = Counter()
    for key in tensors:
        names = key.split(".")
        for place in range(len(names)):
            wanted_key = ".".join(names[place:])
            if wanted_key in wanted:
                counts[key.removesuffix(wanted_key)] += 1
    return counts


def _part(weights: WeightSet, prefix: str, aliases: Mapping[str, list[str]]) -> WeightSet:
    """The part of a set behind a prefix."""
    return _completed(weights.under(prefix, _name(weights, prefix)), aliases)


def _name(weights: WeightSet, prefix: str) -> str:
    """Dotted path of the part of a set behind a prefix, as `model.weights_key` takes it."""
    return f"{weights.name}.{prefix}".strip(".")


def _completed(weights: WeightSet, aliases: Mapping[str, list[str]]) -> WeightSet:
    """The set with the tensors that lie in it under another key of the network alone, as safetensors keeps them."""
    tensors = dict(weights.tensors)
    for key, names in aliases.items():
        present = [name for name in names if name in weights.tensors]
        if present and key not in tensors:
            tensors[key] = weights.tensors[present[0]]
    return replace(weights, tensors=tensors)


def _left_out(weights: WeightSet, prefix: str) -> str:
    """A line about a prefix that was dropped and the keys that do not have it."""
    others = [key for key in (*weights.tensors, *weights.others) if not key.startswith(prefix)]
    rest = f"; left out: {some(others)}" if others else ""
    return f"took the tensors behind {_name(weights, prefix)}.{rest}"
