"""Saves and loads weights: safetensors, and state dicts in .pt and .pth files, without unpickling code."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import DataError
from pipeline.models.head import head_advice, with_new_head
from pipeline.models.spec import ModelSpec
from pipeline.models.weight_files import some
from pipeline.models.weight_keys import keys_advice, shared_keys, with_own_keys
from pipeline.models.weight_sets import Metadata, WeightSet, choose_set, read_sets, same_numbers

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


def load_weights(
    path: Path, network: nn.Module, *, key: str | None = None, new_head: str | None = None
) -> tuple[str, ...]:
    """Load weights into a network, strictly.

    Args:
        path: path of a safetensors file, of a file of torch.save with a state dict, bare or under any key, of an index
            of several such files, or of a folder with one of these. The content decides, not the name. A prefix that
            all of the network's keys have there is dropped.
        network: network of the architecture that the weights belong to; it is changed in place.
        key: place of the set in the file, as a dotted path; needed where the file holds several sets.
        new_head: name of the last layer, which stays as it was initialised; None where it comes from the file too.

    Returns:
        Lines about what was left out and which numbers were converted, for the log.

    Raises:
        DataError: the file cannot be read without running code from it, several sets of weights may be meant, or the
            keys, shapes or numbers do not fit.
        UsageError: there is no set under the key.
    """
    chosen = choose_set(path, read_sets(path), network, key, new_head=new_head)
    weights, left_out = with_own_keys(path, chosen, network)
    kept = ""
    if new_head is not None:
        weights, kept = with_new_head(weights, network, new_head)
    if weights.others:
        raise DataError(
            f"weights {path}: expected a state dict, bare or under a key of its own; found, beside tensors, keys that "
            f"hold no tensor: {some(weights.others)}; save network.state_dict() alone"
        )
    expected: dict[str, Tensor] = network.state_dict()
    _check_numbers(path, weights, expected)
    fits = not _differences(weights, expected)
    if not fits and not _upgrades(weights, network):
        raise DataError(
            f"weights {path}: expected the {len(expected)} tensors of {type(network).__name__}, found"
            f"{f' in {weights.name}' if weights.name else ''}: {'; '.join(_differences(weights, expected))}; "
            f"{_advice(weights, network, new_head)}"
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
    return tuple(f"weights {path.name}: {line}" for line in (left_out, kept, _converted(weights, expected)) if line)


def _converted(weights: WeightSet, expected: dict[str, Tensor]) -> str:
    """A line about floats that the network holds in another type, with the number of tensors of each type."""
    kinds = Counter(
        (_kind(value), _kind(expected[key]))
        for key, value in weights.tensors.items()
        if key in expected and value.is_floating_point() and value.dtype != expected[key].dtype
    )
    return ", ".join(
        f"{count} {'tensor' if count == 1 else 'tensors'} of {kind} became {own}"
        for (kind, own), count in sorted(kinds.items())
    )


def _with_versions(weights: WeightSet, versions: Metadata | None) -> OrderedDict[str, Tensor]:
    """A state dict as torch makes it, with the versions of the modules that wrote the tensors as an attribute."""
    state = OrderedDict(weights.tensors)
    if versions is not None:
        state._metadata = OrderedDict(versions)  # type: ignore[attr-defined]  # noqa: SLF001
    return state


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


def _advice(weights: WeightSet, network: nn.Module, new_head: str | None) -> str:
    """What to do where keys or shapes differ."""
    beside_head = "" if new_head is None else head_advice(weights, network, new_head)
    return beside_head or f"{keys_advice(weights, network)}{_of_other_classes(weights, network.state_dict())}"


def _of_other_classes(weights: WeightSet, expected: dict[str, Tensor]) -> str:
    """Advice where nothing but the number of outputs differs; empty where something else does."""
    differing = [
        (tuple(weights.tensors[key].shape), tuple(value.shape))
        for key, value in expected.items()
        if key in weights.tensors and weights.tensors[key].shape != value.shape
    ]
    outputs = {(shape[:1], wanted[:1]) for shape, wanted in differing}
    same = all(shape[1:] == wanted[1:] for shape, wanted in differing)
    if not same or len(outputs) != 1 or weights.tensors.keys() != expected.keys():
        return ""
    return ', or set model.head = "replace", which makes the last layer anew for other classes'


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
    # A tensor of another shape is refused for that; a file can claim a shape that fills any memory.
    alike = {key: value for key, value in tensors.items() if value.shape == expected[key].shape}
    infinite = [key for key, value in alike.items() if not _all_finite(value, expected[key])]
    if infinite:
        raise DataError(f"{where} finite numbers, found NaN or Inf in {some(infinite)}")
    for key, names in shared_keys(expected).items():
        differing = [
            name for name in names if name in alike and key in alike and not same_numbers(alike[key], alike[name])
        ]
        if differing:
            raise DataError(
                f"{where} the same numbers in {key} and {differing[0]}, which are one tensor in the network, found "
                "different ones; have the factory build the network that was saved"
            )


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


def _all_finite(value: Tensor, wanted: Tensor) -> bool:
    """Whether the network's tensor gets numbers that are finite in its own type too."""
    return not wanted.is_floating_point() or bool(value.to(wanted.dtype).isfinite().all())
