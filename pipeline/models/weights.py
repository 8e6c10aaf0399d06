"""Saves and loads weights: safetensors, and state dicts in .pt and .pth files, without unpickling code."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import DataError
from pipeline.models.spec import ModelSpec
from pipeline.models.weight_sets import Metadata, WeightSet, choose_set, is_averaged, read_sets, some

# Prefixes that DataParallel, DistributedDataParallel, AveragedModel and torch.compile put in front of keys.
_WRAPPERS = ("module.", "_orig_mod.")
# Types of numbers that may be loaded. Other types (int8, float8) need scales that the file does not name.
_PLAIN = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.bool,
)


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's state dict as safetensors; the same weights give the same bytes.

    Args:
        path: path of the file.
        network: network on any device; tensors that share memory are written once each.
    """
    # Tensors are cloned, because safetensors refuses shared memory. There is no metadata, whose order would be random.
    state = {
        key: value.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    save_file(state, path)


def load_network(model: ModelSpec, weights: Path) -> nn.Module:
    """Build the network of a specification with the weights of a build, in evaluation mode.

    Args:
        model: specification that builds the network.
        weights: path of a file that `save_weights` wrote.

    Raises:
        DataError: the weights do not fit.
    """
    network = model.build()
    load_weights(weights, network)
    return network.eval()


def load_weights(path: Path, network: nn.Module, *, key: str | None = None) -> None:
    """Load weights into a network, strictly.

    Args:
        path: path of a `.safetensors` file, or of a `.pt`/`.pth` file with a state dict, bare or under any key.
            Prefixes that DataParallel, AveragedModel or torch.compile put in front of keys are dropped.
        network: network of the architecture that the weights belong to; it is changed in place.
        key: place of the set in the file, as a dotted path; needed where the file holds several sets.

    Raises:
        DataError: the file cannot be read without running code from it, several sets of weights may be meant, or the
            keys, shapes or numbers do not fit.
        UsageError: there is no set under the key.
    """
    weights = choose_set(path, read_sets(path), network, key)
    if weights.others:
        raise DataError(
            f"weights {path}: expected a state dict, bare or under a key of its own; found, beside tensors, keys that "
            f"hold no tensor: {some(weights.others)}; save network.state_dict() alone"
        )
    expected: dict[str, Tensor] = network.state_dict()
    weights = next(
        (spelling for spelling in _spellings(weights) if spelling.tensors.keys() == expected.keys()), _bare(weights)
    )
    _check_numbers(path, weights, expected)
    fits = not _differences(weights, expected)
    if not fits and not _upgrades(weights, network):
        raise DataError(
            f"weights {path}: expected the {len(expected)} tensors of {type(network).__name__}, found"
            f"{f' in {weights.name}' if weights.name else ''}: {'; '.join(_differences(weights, expected))}; "
            f"{_advice(weights, network)}"
        )
    # If a file names no versions and all keys and shapes are the network's, its tensors are of the network's own
    # version. torch takes such a file for the oldest version, and some modules refuse that. A safetensors file never
    # names versions.
    current = getattr(expected, "_metadata", None) if fits else None
    try:
        network.load_state_dict(_with_versions(weights, weights.versions or current))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"weights {path}: expected weights that {type(network).__name__} takes, found: {reason}; save them "
            "with the library version that the factory uses"
        ) from error


def _with_versions(weights: WeightSet, versions: Metadata | None) -> OrderedDict[str, Tensor]:
    """A state dict as torch makes it, with the versions of the modules that wrote the tensors as an attribute."""
    state = OrderedDict(weights.tensors)
    if versions is not None:
        state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]  # noqa: SLF001
    return state


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
            yield (bare := WeightSet(name=bare.name, tensors=shorter, versions=versions))


def _bare(weights: WeightSet) -> WeightSet:
    """The set without the prefixes that wrappers put in front of every key, and without AveragedModel's counter."""
    if is_averaged(weights):
        weights = weights.under("module.", weights.name)
    for wrapper in _WRAPPERS:
        if weights.tensors and all(key.startswith(wrapper) for key in weights.tensors):
            return _bare(weights.under(wrapper, weights.name))
    return weights


def _differences(weights: WeightSet, expected: dict[str, Tensor]) -> list[str]:
    """Differences in keys and shapes between a set and a network, in words."""
    tensors = weights.tensors
    problems = []
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing:
        problems.append(f"missing {some(missing)}")
    if unexpected:
        problems.append(f"unexpected {some(unexpected)}")
    shapes = [
        f"{key} {tuple(tensors[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if shapes:
        problems.append(f"of another shape: {some(shapes)}")
    return problems


def _upgrades(weights: WeightSet, network: nn.Module) -> bool:
    """Whether torch converts a set of older module versions to the network's own keys and shapes."""
    rehearsal = copy.deepcopy(network)
    try:
        rehearsal.load_state_dict(_with_versions(weights, weights.versions))
    except (RuntimeError, ValueError, KeyError, TypeError):
        return False
    # Some modules turn into an older version of themselves, which the factory would not build again.
    after, before = rehearsal.state_dict(), network.state_dict()
    return {key: value.shape for key, value in after.items()} == {key: value.shape for key, value in before.items()}


def _check_numbers(path: Path, weights: WeightSet, expected: dict[str, Tensor]) -> None:
    """Refuse tensors whose numbers are absent, are not plain numbers, or are not finite."""
    where = f"weights {path}: expected"
    tensors = {key: value for key, value in weights.tensors.items() if key in expected}
    absent = [key for key, value in tensors.items() if value.is_meta]
    if absent:
        raise DataError(
            f"{where} numbers, found tensors without any (device meta): {some(absent)}; save loaded weights"
        )
    odd = [f"{key} ({_kind(value)})" for key, value in tensors.items() if not _is_plain(value, expected[key])]
    if odd:
        raise DataError(
            f"{where} float32, float16, bfloat16 or float64 numbers, found others: {some(odd)}; save the weights in "
            "float, {key: value.float() ...} with their scales applied: a build makes int8 of them by itself"
        )
    infinite = [key for key, value in tensors.items() if value.is_floating_point() and not _all_finite(value)]
    if infinite:
        raise DataError(f"{where} finite numbers, found NaN or Inf in {some(infinite)}")


def _kind(value: Tensor) -> str:
    layout = "" if value.layout is torch.strided else f"{str(value.layout).removeprefix('torch.')} "
    return f"{layout}{str(value.dtype).removeprefix('torch.')}"


def _is_plain(value: Tensor, wanted: Tensor) -> bool:
    """Whether the network's tensor can take its numbers from a tensor of a file without scales."""
    if value.layout is not torch.strided or value.is_quantized:
        return False
    if value.dtype in (wanted.dtype, *_PLAIN):
        return True
    return not (value.is_complex() or value.is_floating_point() or wanted.is_floating_point())


def _all_finite(value: Tensor) -> bool:
    return value.dtype not in _PLAIN or bool(value.isfinite().all())


def _advice(weights: WeightSet, network: nn.Module) -> str:
    """Advice where a file's keys differ from the network's only by a prefix, or have no names."""
    expected = network.state_dict()
    within = f"{weights.name}." if weights.name else ""
    prefixes = [prefix for prefix in _prefixes(weights.tensors, expected) if prefix]
    if prefixes:
        keys = " or ".join(f"model.weights_key = {within + prefix.removesuffix('.')!r}" for prefix in prefixes)
        return f"all of the network's are there behind {' and '.join(prefixes)}: give {keys}"
    longer = [prefix for prefix in _prefixes(expected, weights.tensors) if prefix]
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


def _prefixes(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """Prefixes under which `tensors` holds every key of `wanted` with the same shape."""
    first = next(iter(wanted), "")
    starts = [key.removesuffix(first) for key in tensors if first and key.endswith(f".{first}")]
    return [
        start
        for start in starts
        if all(
            f"{start}{key}" in tensors and tensors[f"{start}{key}"].shape == value.shape
            for key, value in wanted.items()
        )
    ]
