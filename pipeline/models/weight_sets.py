"""Reads the sets of tensors in a file of weights: beside the first there may be averaged weights or a teacher's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import DataError, UsageError
from pipeline.models.torch_files import read_file
from pipeline.models.weight_files import some
from pipeline.models.weight_index import WeightFiles, find_weights

# Key of an optimizer's state, which holds tensors by parameter that are not weights.
_OPTIMIZER = "param_groups"
_DEEPEST = 6
# Key of the counter that AveragedModel keeps beside the network's own tensors, which lie under `module.`
_AVERAGED = "n_averaged"

Metadata = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """Tensors that lie together in a file.

    Args:
        name: place in the file, as a dotted path; empty for the whole file.
        tensors: tensors by their keys there.
        others: keys beside them that hold no tensor.
        versions: torch's versions of the modules, by name, where the file has them.
    """

    name: str
    tensors: dict[str, Tensor]
    others: tuple[str, ...] = ()
    versions: Metadata | None = None

    def under(self, prefix: str, name: str) -> WeightSet:
        """The set of those entries whose keys begin with a prefix, under keys without the prefix.

        Args:
            prefix: prefix that ends with a dot.
            name: name of the new set.
        """
        tensors = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
        versions = None
        if self.versions is not None:
            versions = {
                f"{key}.".removeprefix(prefix).removesuffix("."): value
                for key, value in self.versions.items()
                if f"{key}.".startswith(prefix)
            }
        others = tuple(key.removeprefix(prefix) for key in self.others if key.startswith(prefix))
        return WeightSet(name=name, tensors=tensors, others=others, versions=versions)

    def __str__(self) -> str:
        updates = self.tensors.get(_AVERAGED)
        averaged = f" (averaged over {int(updates)} updates)" if is_averaged(self) and updates is not None else ""
        return f"{self.name or 'the whole file'}{averaged}"


def is_averaged(weights: WeightSet) -> bool:
    """Whether a set is the state of torch's AveragedModel: the network's tensors under `module.`, and a counter."""
    keys = weights.tensors.keys()
    counter = weights.tensors.get(_AVERAGED)
    if counter is None or counter.numel() != 1 or len(keys) == 1:
        return False
    return all(key == _AVERAGED or key.startswith("module.") for key in keys)


def read_sets(path: Path) -> tuple[WeightSet, ...]:
    """All sets of tensors in the files of some weights, in their order; an optimizer's state is not a set.

    Args:
        path: path of a file, of an index of several files, which hold one set together, or of a folder with either.

    Raises:
        DataError: there is no such file, it is of another kind, it needs a pickled class, or it holds no tensor.
    """
    files = find_weights(path)
    if files.index is not None:
        return (_joined(files),)
    document = read_file(files.shards[0])
    sets = tuple(_sets(document, "", set()))
    if not sets:
        raise DataError(f"weights {path}: {_nothing(document)}")
    return sets


def _joined(files: WeightFiles) -> WeightSet:
    """The one set that the shards of an index hold; each tensor lies where the index places it, and nowhere else."""
    tensors: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    for shard in files.shards:
        document = read_file(shard)
        if not isinstance(document, Mapping) or not all(isinstance(value, Tensor) for value in document.values()):
            raise DataError(f"weights {shard}: expected a state dict of tensors alone, as one of several files holds")
        if twice := [key for key in document if key in places]:
            raise DataError(
                f"weights {files.index}: expected each tensor in one file, found {some(twice)} in {places[twice[0]]} "
                f"and in {shard.name}; download or save all of them again"
            )
        tensors |= {str(key): value for key, value in document.items()}
        places |= dict.fromkeys(map(str, document), shard.name)
    problems = [f"no {key} in {shard}" for key, shard in files.places.items() if places.get(key) != shard] + [
        f"{key} in {shard}, which is not listed" for key, shard in places.items() if key not in files.places
    ]
    if problems:
        raise DataError(
            f"weights {files.index}: expected the tensors that the index lists, found {some(problems)}; download or "
            "save all of the files again, together"
        )
    return WeightSet(name="", tensors=tensors)


def _sets(document: Any, name: str, seen: set[int]) -> Iterator[WeightSet]:
    """Sets in a document and in the documents inside it, outermost first."""
    if isinstance(document, Mapping):
        entries = {}
        for key, value in document.items():  # a number and its digits may both be keys
            entries[repr(key) if str(key) in entries else str(key)] = value
    elif isinstance(document, list | tuple):
        entries = {str(place): value for place, value in enumerate(document)}
    else:
        return
    if id(document) in seen or _OPTIMIZER in entries or name.count(".") >= _DEEPEST:
        return
    seen.add(id(document))
    tensors = {key: value for key, value in entries.items() if isinstance(value, Tensor)}
    if tensors:
        yield WeightSet(
            name=name,
            tensors=tensors,
            others=tuple(key for key in entries if key not in tensors),
            versions=_versions(getattr(document, "_metadata", None)),
        )
    for key, value in entries.items():
        yield from _sets(value, f"{name}.{key}" if name else key, seen)


def _versions(metadata: Any) -> Metadata | None:
    """The versions of the modules that torch's `state_dict` records, if a file holds them in that form."""
    if not isinstance(metadata, Mapping) or not all(isinstance(value, Mapping) for value in metadata.values()):
        return None
    return {str(key): value for key, value in metadata.items()}


def _nothing(document: Any) -> str:
    if isinstance(document, Tensor):
        return f"expected a state dict, found one tensor of shape {tuple(document.shape)}; save network.state_dict()"
    if not isinstance(document, Mapping) or not document:
        empty = " of nothing" if isinstance(document, Mapping | Sequence) and not document else ""
        return f"expected a state dict, found {type(document).__name__}{empty}; save network.state_dict()"
    if _OPTIMIZER in document:
        return "expected a state dict, found an optimizer's state alone; save network.state_dict() too"
    keys = [str(key) for key in document]
    return (
        "expected a state dict, bare or under a key of its own; found keys that hold no tensor: "
        f"{some(keys)}; save network.state_dict()"
    )


def choose_set(
    path: Path, sets: Sequence[WeightSet], network: nn.Module, key: str | None, *, new_head: str | None = None
) -> WeightSet:
    """Choose the set of weights for a network.

    Args:
        path: path of the file, for messages.
        sets: all sets in the file.
        network: network whose weights are needed.
        key: name of a set in the recipe, or a prefix of keys; None if the recipe names none.
        new_head: name of the last layer where it is made anew, whatever the file holds of it.

    Returns:
        The set under the key. Without a key, the only set that may be the network's, or the most similar set, so that
        its problems can be reported.

    Raises:
        UsageError: no set is under the key.
        DataError: several sets may be meant, and there is no key.
    """
    if key is not None:
        return _set_named(path, sets, key)
    if len(sets) == 1:
        return sets[0]
    # Averaged weights may lie there under any names, as a list, without buffers or frozen parameters. So the shapes of
    # the tensors decide.
    parameters = [
        parameter
        for name, parameter in network.named_parameters()
        if new_head is None or not name.startswith(f"{new_head}.")
    ]
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    shapes = Counter(tuple(value.shape) for value in trained or parameters or network.state_dict().values())
    likely = [part for part in sets if shapes <= Counter(tuple(value.shape) for value in part.tensors.values())]
    if likely:
        return require_one(path, likely, network)
    expected = network.state_dict().keys()
    return max(sets, key=lambda part: (len(expected & part.tensors.keys()), len(part.tensors)))


def require_one(path: Path, sets: Sequence[WeightSet], network: nn.Module) -> WeightSet:
    """The first of some sets that may be a network's, if all hold the same numbers.

    Args:
        path: path of the file, for messages.
        sets: one set or more.
        network: network whose weights are needed, for messages.

    Raises:
        DataError: they differ.
    """
    different = [part for place, part in enumerate(sets) if not any(_equal(part, former) for former in sets[:place])]
    if len(different) > 1:
        names = ", ".join(map(str, different))
        raise DataError(
            f"weights {path}: expected one set of weights for {type(network).__name__}, found {len(different)}: "
            f"{names}; say which with model.weights_key, such as model.weights_key = {different[-1].name!r}"
        )
    return different[0]


def _set_named(path: Path, sets: Sequence[WeightSet], key: str) -> WeightSet:
    exact = [candidate for candidate in sets if candidate.name == key]
    inner = [candidate for candidate in sets if candidate.name.startswith(f"{key}.")]
    if exact or len(inner) == 1:
        return (exact or inner)[0]
    for whole in sets:
        rest = key.removeprefix(f"{whole.name}.") if whole.name else key
        if rest != key or not whole.name:
            part = whole.under(f"{rest}.", key)
            if part.tensors:
                return part
    names = [whole.name for whole in sets if whole.name]
    names += [f"{whole.name}.{start}" if whole.name else start for whole in sets for start in _starts(whole)]
    raise UsageError(
        f"model.weights_key: expected a set of tensors in {path}, found no {key}; there are {some(names, 12)}"
    )


def _starts(weights: WeightSet) -> list[str]:
    """The parts of a set's keys in front of their first dot, each once."""
    return list(dict.fromkeys(key.partition(".")[0] for key in weights.tensors if "." in key))


def _equal(first: WeightSet, second: WeightSet) -> bool:
    """Whether two sets hold the same numbers under the same keys."""
    if first.tensors.keys() != second.tensors.keys():
        return False
    return all(
        value.dtype == second.tensors[key].dtype
        and value.shape == second.tensors[key].shape
        and same_numbers(value, second.tensors[key])
        for key, value in first.tensors.items()
    )


def same_numbers(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of the same shape and dtype hold the same numbers; NaN is the same as NaN."""
    try:
        if torch.equal(first, second):
            return True
        return first.is_floating_point() and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
    except (RuntimeError, NotImplementedError):  # such as tensors without storage
        return False
