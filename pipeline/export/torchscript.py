"""Exports a module to a frozen TorchScript file: by scripting where that works, else by tracing.

TorchScript is deprecated since torch 2.11. This module and `handlers.model_file`, which loads the files, are the only
ones that use it, and it is never the only artifact of a build.
"""

from __future__ import annotations

import inspect
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from pipeline._handlers.compare import compare, fitted
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.engine.manifest import write_atomically
from pipeline.engine.user_code import own_place
from pipeline.errors import UsageError
from pipeline.export.mode import require_exportable
from pipeline.model_code.torchscript import read_torchscript, write_torchscript
from pipeline.models.spec import joined

_MANGLED = re.compile(rb"___torch_mangle_(\d+)")


@dataclass(frozen=True, kw_only=True)
class TorchScriptExport:
    """How a TorchScript file was made.

    Args:
        method: `script` if it was scripted from its source, `trace` if it was traced on an example.
        reason: why it could not be scripted; empty if it was.
        warnings: warnings of the tracer about branches and sizes that it took for constants.
    """

    method: Literal["script", "trace"]
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The export as JSON values."""
        return {"method": self.method, "reason": self.reason, "warnings": list(self.warnings)}


def export_torchscript(
    module: nn.Module, path: Path, *, example: tuple[Tensor, ...], fold: bool = True, tolerance: Tolerance = FLOAT32
) -> TorchScriptExport:
    """Write a module as a frozen TorchScript file.

    The same module gives the same bytes in any folder and at any time, because source paths, and names that count what
    a process compiled before, are removed. Before the file gets its name, it is loaded again and called on the example
    and on its first row alone. If a script cannot be called, or answers differently from the module, the module is
    traced. If the trace can be called and differs as well, the script stays, and the parity check names the layer.

    Args:
        module: module in evaluation mode that maps positional raw inputs to logits, or to a tuple of several outputs;
            the file gives the same. It is not changed.
        path: path of the file.
        example: positional inputs, each (B, ...) with B of 2 or more; a trace follows them.
        fold: whether layers may be folded into one (batch norm into a convolution), which rounds elsewhere.
        tolerance: largest difference between the answers of the file and of the module.

    Returns:
        Whether the module was scripted or traced, and why.

    Raises:
        UsageError: the module can be neither scripted nor traced.
        ProofError: the module is in training mode.
    """
    require_exportable(module, example, "TorchScript")
    with _quiet(), torch.no_grad():
        script = _attempt(lambda: _script(module), module, example, fold=fold, tolerance=tolerance)
        if script.problem:
            notes: list[str] = []
            trace = _attempt(lambda: _trace(module, example, notes), module, example, fold=fold, tolerance=tolerance)
            if not trace.problem:
                write_atomically(path, trace.content)
                return TorchScriptExport(method="trace", reason=script.problem, warnings=tuple(_without_paths(notes)))
            if not script.content:
                raise UsageError(
                    "export to TorchScript: expected a network that can be scripted or traced, found neither: "
                    f"scripting: {script.problem}; tracing: {trace.problem}"
                )
    write_atomically(path, script.content)
    return TorchScriptExport(method="script")


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """The result of an attempt to make a file.

    Args:
        content: bytes of the file, if it answers at all; else empty.
        problem: why the file cannot be made, or how it differs from the module; empty where nothing is wrong.
    """

    content: bytes = b""
    problem: str = ""


def _attempt(
    compile_module: Callable[[], Any],
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    fold: bool,
    tolerance: Tolerance,
) -> _Attempt:
    """Compile, freeze, save, load and call a module. A compiler of Python source may fail in any of these steps."""
    try:
        # The module is not optimized for inference here: torch saves that form but cannot load it again. The handler
        # optimizes it after loading.
        frozen = torch.jit.freeze(compile_module(), optimize_numerics=fold)
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)  # in a buffer, the archive is called "archive", not after the file
        content = canonical_torchscript(buffer.getvalue())
        read_torchscript("the file", content)  # verify and serve refuse a file that cannot be read
        loaded = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
        return _Attempt(content=content, problem=_difference(module, loaded, example, tolerance))
    except OSError:  # a full disk, for example
        raise
    except Exception as error:  # noqa: BLE001
        return _Attempt(problem=_one_line(error))


def _script(module: nn.Module) -> Any:
    with _evaluated_annotations(module):
        return torch.jit.script(module)


def _trace(module: nn.Module, example: tuple[Tensor, ...], notes: list[str]) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TracerWarning)
        traced = torch.jit.trace(module, example, check_trace=True)  # type: ignore[no-untyped-call]
    notes += [
        " ".join(str(warning.message).split()) for warning in caught if issubclass(warning.category, TracerWarning)
    ]
    return traced


@contextmanager
def _evaluated_annotations(module: nn.Module) -> Iterator[None]:
    """Give classes real types for their attributes while they are scripted.

    Under `from __future__ import annotations` a class holds types as text, which `torch.jit.script` does not evaluate
    ("Unknown type annotation: 'Tensor'"; seen in 2.13), though it does for functions.
    """
    kept: dict[type, dict[str, Any]] = {}
    for kind in {type(part) for part in module.modules()}:
        written = inspect.get_annotations(kind)
        if any(isinstance(value, str) for value in written.values()):
            with suppress(NameError, TypeError, AttributeError, SyntaxError):  # a name only type checkers can see
                hints = get_type_hints(kind)
                kept[kind] = written
                kind.__annotations__ = {name: hints[name] for name in written}
    try:
        yield
    finally:
        for kind, written in kept.items():
            kind.__annotations__ = written


def _difference(
    module: nn.Module, loaded: Callable[..., Any], example: tuple[Tensor, ...], tolerance: Tolerance
) -> str:
    """How a file's answers differ from the module's on the example and on its first row alone; empty if they do not."""
    usual = fitted(tolerance, joined(module(*example)).numpy())
    for rows in (len(example[0]), 1):
        part = tuple(tensor[:rows] for tensor in example)
        expected: NDArray[np.float32] = joined(module(*part)).numpy()
        comparison = compare(expected, joined(loaded(*part)).numpy(), usual)
        if not comparison.passed:
            return f"the file answers differently from the network for a batch of {rows}: {comparison.reason}"
    return ""


def canonical_torchscript(content: bytes) -> bytes:
    """Rewrite a TorchScript archive so that its bytes follow from the module alone.

    `*.debug_pkl` hold absolute source paths, and `.data/serialization_id` is a hash over them; both are left out. torch
    makes class names unique by a counter that runs as long as the process, so they are numbered anew in the order in
    which they appear. In the pickles they stand in newline-terminated names, so a change of length does no harm.
    """
    numbers: dict[bytes, int] = {}

    def renumber(match: re.Match[bytes]) -> bytes:
        return b"___torch_mangle_%d" % numbers.setdefault(match[1], len(numbers))

    members: list[tuple[str, bytes]] = []
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        for member in source.infolist():
            if member.filename.endswith((".debug_pkl", ".data/serialization_id")):
                continue
            data = source.read(member)
            if member.filename.endswith((".py", ".pkl")):
                data = _MANGLED.sub(renumber, data)
            members.append((_MANGLED.sub(renumber, member.filename.encode()).decode(), data))
    return write_torchscript(members)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    place = own_place(error)
    if not lines:
        return f"{type(error).__name__}{place}"
    # The error that a script raised stands below the interpreter's traceback.
    message = lines[-1] if "TorchScript interpreter" in lines[0] else f"{type(error).__name__}: {lines[0]}"
    return f"{message.removeprefix('builtins.').rstrip(':')}{place}"


def _without_paths(notes: list[str]) -> Iterator[str]:
    for note in notes:
        yield re.sub(r"\S*[/\\](?=\S+\.py)", "", note)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence known warnings during this module's calls only."""
    with warnings.catch_warnings():
        # This package uses TorchScript on purpose. It drops TorchScript when torch does.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        # Freezing a dynamic int8 module copies its weights; see pipeline.compress.dynamic.
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)
        yield
