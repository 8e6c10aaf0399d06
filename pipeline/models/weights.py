"""Weights in and out: safetensors, or the state dicts people have as .pt and .pth, read without unpickling code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.errors import DataError
from pipeline.models.outside import check_weights_file

# Where training scripts put the state dict among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# What DataParallel, DistributedDataParallel and torch.compile put in front of every key.
_PREFIXES = ("module.", "_orig_mod.")
_SHOWN = 6


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's state dict as safetensors; the same weights give the same bytes.

    Args:
        path: of the file.
        network: on any device; tensors that share memory are written once each.
    """
    # Cloned, because safetensors refuses shared memory; without metadata, whose order would be random.
    state = {
        key: value.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    save_file(state, path)


def load_weights(path: Path, network: nn.Module) -> None:
    """Load weights into a network, strictly.

    Args:
        path: `.safetensors`; or `.pt`/`.pth` holding a state dict, bare or under `state_dict`, `model_state_dict` or
            `model`. A prefix `module.` or `_orig_mod.` on every key is dropped.
        network: of the architecture the weights belong to; changed in place.

    Raises:
        DataError: the file cannot be read without running code from it, or its keys, shapes or numbers do not fit.
    """
    given = _strip_prefixes(read_state(path))
    wanted: dict[str, Tensor] = network.state_dict()
    problems = []
    missing, unexpected = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing:
        problems.append(f"missing {_some(missing)}")
    if unexpected:
        problems.append(f"unexpected {_some(unexpected)}")
    shapes = [
        f"{key} {tuple(given[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if shapes:
        problems.append(f"of another shape: {_some(shapes)}")
    if problems:
        raise DataError(
            f"weights {path}: expected the {len(wanted)} tensors of {type(network).__name__}, found: "
            f"{'; '.join(problems)}; give the network these weights belong to"
        )
    infinite = [key for key in wanted if given[key].is_floating_point() and not given[key].isfinite().all()]
    if infinite:
        raise DataError(f"weights {path}: expected finite numbers, found NaN or Inf in {_some(infinite)}")
    network.load_state_dict({key: given[key] for key in wanted})


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, by the keys they have there.

    Raises:
        DataError: no such file, another kind of file, or one that needs a pickled class to be read.
    """
    check_weights_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # Of a pickle protocol other than torch's own: it is read or refused like any other.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            document = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise DataError(
            f"weights {path}: expected a state dict of tensors, found objects that only code run from the file could "
            "restore, which is refused; save torch.save(network.state_dict(), path), or safetensors, instead"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"weights {path}: expected a whole {path.suffix} file, found: {reason}") from error
    return _unwrap(path, document)


def _unwrap(path: Path, document: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(document, Mapping) and isinstance(document.get(wrapper), Mapping):
            document = document[wrapper]
    if not isinstance(document, Mapping) or not document:
        raise DataError(f"weights {path}: expected a state dict, found {type(document).__name__}")
    others = [str(key) for key, value in document.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise DataError(
            f"weights {path}: expected a state dict, bare or under {', '.join(_WRAPPERS)}; found keys that hold no "
            f"tensor: {_some(others)}"
        )
    return dict(document)


def _strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for _ in _PREFIXES:
        for prefix in _PREFIXES:
            if all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
