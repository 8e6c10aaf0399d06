"""Reads files of torch.save and safetensors into plain containers of tensors; no code of theirs runs."""

from __future__ import annotations

import json
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self, assert_never

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import DataError
from pipeline.models.pickle_facts import PickleFacts, pickle_facts
from pipeline.models.weight_files import WeightsKind, as_safetensors, some, weights_kind

# The kinds of NumPy's numbers, dates and text. Not among them are objects and records, which may hold objects.
_NUMPY_NUMBERS = re.compile(r"[<>=|]?[?bBhHiIlLqQefdgFDGcuSUaMm]\d*(\[.*\])?")


class _Refused(Exception):  # noqa: N818  # it never leaves this module
    """An object in a file that has no stand-in."""


class _Absent:
    """Stands in for a harmless object beside the weights: it takes whatever made that object, and keeps nothing."""

    def __new__(cls, *_arguments: object) -> Self:
        return object.__new__(cls)

    def __setstate__(self, _state: object) -> None:
        """Drop what the object held."""


def _absent(*_arguments: object) -> _Absent:
    return _Absent()


class _Table:
    """Stands in for a kind of dict; its entries come into a plain one, which may hold weights."""

    def __new__(cls, *_arguments: object) -> dict[object, object]:  # type: ignore[misc]
        return {}


def _numpy_type(code: object = "", *_arguments: object) -> _Absent:
    """Stand in for a NumPy dtype of numbers."""
    text = code.decode("ascii", errors="replace") if isinstance(code, bytes) else code
    if not isinstance(text, str) or not _NUMPY_NUMBERS.fullmatch(text):
        raise _Refused(f"numpy.dtype({text!r})")
    return _Absent()


_NUMPY = [f"numpy.{package}.multiarray.{name}" for package in ("_core", "core") for name in ("scalar", "_reconstruct")]
_PATHS = [
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
]
_OMEGACONF = (
    *("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata"),
    *(f"nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")),
)
# What takes the place of the objects that trainers save beside weights: arguments, figures, random states, paths. A
# file names their types and gets stand-ins: no module is imported, and nothing is made of what the file says. Each
# stand-in is this module's own, so leaving the context manager takes back nothing that a user allows process-wide.
_STAND_INS: tuple[tuple[Callable[..., object], str], ...] = (
    *((_Absent, name) for name in ("argparse.Namespace", "types.SimpleNamespace")),
    *((_absent, name) for name in _NUMPY),
    (_Absent, "numpy.ndarray"),
    (_numpy_type, "numpy.dtype"),
    *((_Absent, name) for name in _PATHS),
    *((_Absent, f"datetime.{name}") for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *((_Absent, f"builtins.{name}") for name in ("int", "float", "str", "bool", "bytes", "list", "tuple")),
    *((_Absent, f"omegaconf.{name}") for name in _OMEGACONF),
    (_Absent, "typing.Any"),
    (_Absent, "torch.torch_version.TorchVersion"),  # `torch.__version__`
    (_Table, "builtins.dict"),
    (_Table, "collections.defaultdict"),
    (_Table, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (_Table, "lightning.pytorch.utilities.parsing.AttributeDict"),
    (_Table, "lightning.fabric.utilities.data.AttributeDict"),
    (_Table, "lightning_fabric.utilities.data.AttributeDict"),
)
_STAND_IN_NAMES = frozenset(name for _, name in _STAND_INS)
# What starts programs, runs text as code or opens connections.
_HOSTILE = re.compile(
    r"(os|posix|nt|sys|subprocess|pty|runpy|socket|shutil|ctypes|importlib|marshal|webbrowser)\..*|"
    r"builtins\.(eval|exec|compile|open|__import__)"
)
# Attributes of every torch.nn.Module, which a pickle of one holds.
_MODULE_STATE = frozenset({"_parameters", "_buffers", "_modules"})
# Keys of a checkpoint of Composer.
_COMPOSER = frozenset({"state", "model", "rng"})
# Keys under which trainers save a network, the most usual first.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module", "ema")
# The newest pickle protocol that torch reads without running code.
_PROTOCOL = 2


def read_file(path: Path) -> Any:
    """What a file of weights holds: tensors on the CPU, and the containers and plain values around them.

    Objects of harmless types that trainers save beside weights (`argparse.Namespace`, NumPy's numbers, paths, times)
    are left out. An object of another type is an error.

    Args:
        path: path of a safetensors file or of a file of torch.save, under any name.

    Raises:
        DataError: the file is of another kind or not whole, or it needs code to be run.
    """
    kind = weights_kind(path)
    try:
        return _read(path, kind)
    except _Refused as error:
        raise _needs_code(path, str(error)) from error
    except UnpicklingError as error:
        raise _needs_code(path) from error
    except MemoryError as error:
        raise DataError(f"weights {path}: expected tensors that fit in memory, found larger ones") from error
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, OSError, EOFError, RuntimeError, SafetensorError,
        TypeError, ValueError, struct.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"weights {path}: expected a whole {kind} file, found: {reason}; download or save it again"
        ) from error


def _read(path: Path, kind: WeightsKind) -> Any:
    match kind:
        case "index":
            raise DataError(f"weights {path}: expected a file of tensors, found an index of several files")
        case "safetensors":
            return load_file(path)
        case "torch.save":
            with (
                warnings.catch_warnings(),
                torch.serialization.safe_globals(list(_STAND_INS)),
                path.open("rb") as stream,  # because torch goes by the ending of a path
            ):
                # torch warns of a pickle protocol other than its own. Such a file is read or refused like any other.
                warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
                # torch warns of quantized tensors, which are refused by name later.
                warnings.filterwarnings("ignore", message="TypedStorage is deprecated", category=UserWarning)
                return torch.load(stream, map_location="cpu", weights_only=True)
        case _:
            assert_never(kind)


def _needs_code(path: Path, *refused: str) -> DataError:
    """The error for a pickle that holds other objects than tensors and plain values, or for a damaged one.

    Args:
        path: path of the file.
        refused: names of its objects, where they are known already.
    """
    facts = pickle_facts(path)
    names = refused or [name for name in facts.names if name not in _STAND_IN_NAMES]
    if facts.texts >= _MODULE_STATE:
        what = f"a whole module ({some(names)})"
    elif facts.bare:
        what = f"a pickle that torch.save did not write{f', with objects of {some(names)},' if names else ''}"
    elif names:
        what = f"objects of {some(names)}"
    elif facts.protocol > _PROTOCOL:
        what = f"a pickle of protocol {facts.protocol}"
    else:
        return DataError(
            f"weights {path}: expected a whole torch.save file, found one whose pickle is damaged; download or save "
            "it again"
        )
    if hostile := [name for name in names if _HOSTILE.fullmatch(name)]:
        advice = f"no trainer saves {some(hostile)}: do not load this file anywhere"
    else:
        advice = as_safetensors(path, f"{_loaded(path, facts)}{_place(facts)}", classes=True)
    return DataError(
        f"weights {path}: expected a state dict of tensors, found {what} that only code run from the file could "
        f"restore, which is refused; {advice}"
    )


def _loaded(path: Path, facts: PickleFacts) -> str:
    """Python expression that restores a document by running its code."""
    name = json.dumps(str(path))
    if facts.bare:
        return f'__import__("pickle").loads(__import__("pathlib").Path({name}).read_bytes())'
    return f'torch.load({name}, map_location="cpu", weights_only=False)'


def _place(facts: PickleFacts) -> str:
    """The rest of that expression: where a document probably holds the tensors of its network."""
    inside = next((f'["{key}"]' for key in _USUAL_KEYS if key in facts.texts), "")
    if facts.texts >= _MODULE_STATE:
        return f"{'' if facts.root else inside}.state_dict()"
    if facts.texts >= _COMPOSER:
        return '["state"]["model"]'
    return inside
