"""A module as a frozen TorchScript file: scripted where that works, traced where it must be.

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

_MANGLED = re.compile(rb"___torch_mangle_(\d+)")


@dataclass(frozen=True, kw_only=True)
class TorchScriptExport:
    """How a TorchScript file was made.

    Args:
        method: scripted from its source, or traced on an example.
        reason: why it could not be scripted; empty if it was.
        warnings: what the tracer warned of: branches and sizes it took for constants.
    """

    method: Literal["script", "trace"]
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"method": self.method, "reason": self.reason, "warnings": list(self.warnings)}


def export_torchscript(
    module: nn.Module, path: Path, *, example: tuple[Tensor, ...], fold: bool = True, tolerance: Tolerance = FLOAT32
) -> TorchScriptExport:
    """Write a module as a frozen TorchScript file.

    The same module gives the same bytes in any folder and at any time: source paths, and names that count what a
    process compiled before, are taken out. Before it gets its name, the file is loaded again and asked on the example
    and on its first row alone. Where a script cannot be called, or answers differently from the module, it is traced;
    where the trace can be called and differs as well, the script stays, and the parity check names the layer.

    Args:
        module: raw inputs positional in, logits out; in evaluation mode, and left as it is.
        path: where the file goes.
        example: positional inputs, each (B, ...) with B of 2 or more; what a trace follows.
        fold: whether layers may be folded into one (batch norm into a convolution), which rounds elsewhere.
        tolerance: how far the file may be from the module.

    Returns:
        Whether it was scripted or traced, and why.

    Raises:
        UsageError: it can be neither scripted nor traced.
        ProofError: it is in training mode.
    """
    require_exportable(module, example, "TorchScript")
    with _quiet(), torch.no_grad():
        script = _attempt(lambda: _scripted(module), module, example, fold=fold, tolerance=tolerance)
        if script.problem:
            notes: list[str] = []
            trace = _attempt(lambda: _traced(module, example, notes), module, example, fold=fold, tolerance=tolerance)
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
    """What came of one way to make a file.

    Args:
        content: of the file, if it answers at all; else empty.
        problem: why it cannot be had, or in what it differs from the module; empty where nothing is wrong.
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
    """Compile, freeze, save, load and call. A compiler of Python source fails in any way, in any of these steps."""
    try:
        # Not optimized for inference: that form saves but cannot be loaded again. It is done after loading.
        frozen = torch.jit.freeze(compile_module(), optimize_numerics=fold)
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)  # into a buffer, the archive is called "archive", not after the file
        content = canonical_torchscript(buffer.getvalue())
        read_torchscript("the file", content)  # what cannot be read is refused by verify and serve, whatever it calls
        loaded = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
        return _Attempt(content=content, problem=_difference(module, loaded, example, tolerance))
    except OSError:  # no room, for example
        raise
    except Exception as error:  # noqa: BLE001
        return _Attempt(problem=_one_line(error))


def _scripted(module: nn.Module) -> Any:
    with _evaluated_annotations(module):
        return torch.jit.script(module)


def _traced(module: nn.Module, example: tuple[Tensor, ...], notes: list[str]) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TracerWarning)
        traced = torch.jit.trace(module, example, check_trace=True)  # type: ignore[no-untyped-call]
    notes += [" ".join(str(one.message).split()) for one in caught if issubclass(one.category, TracerWarning)]
    return traced


@contextmanager
def _evaluated_annotations(module: nn.Module) -> Iterator[None]:
    """Give classes real types for their attributes while they are scripted.

    Under `from __future__ import annotations` a class holds them as text, which `torch.jit.script` does not evaluate
    ("Unknown type annotation: 'Tensor'"; seen in 2.13), though it does for functions.
    """
    kept: dict[type, dict[str, Any]] = {}
    for kind in {type(one) for one in module.modules()}:
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
    module: nn.Module, loaded: Callable[..., Tensor], example: tuple[Tensor, ...], tolerance: Tolerance
) -> str:
    """How a file's answers differ from the module's on the example and on its first row alone; empty if they do not."""
    usual = fitted(tolerance, module(*example).numpy())
    for rows in (len(example[0]), 1):
        part = tuple(tensor[:rows] for tensor in example)
        expected: NDArray[np.float32] = module(*part).numpy()
        comparison = compare(expected, loaded(*part).numpy(), usual)
        if not comparison.passed:
            return f"the file answers differently from the network for a batch of {rows}: {comparison.reason}"
    return ""


def canonical_torchscript(content: bytes) -> bytes:
    """Rewrite a TorchScript archive so that its bytes follow from the module alone.

    `*.debug_pkl` hold absolute source paths, and `.data/serialization_id` is a hash over them. Class names are made
    unique by a counter that runs as long as the process: they are numbered anew in the order in which they appear. In
    the pickles they stand in newline-terminated names, so a change of length does no harm.
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
    # What the interpreter of a script raised stands below its traceback.
    said = lines[-1] if "TorchScript interpreter" in lines[0] else f"{type(error).__name__}: {lines[0]}"
    return f"{said.removeprefix('builtins.').rstrip(':')}{place}"


def _without_paths(notes: list[str]) -> Iterator[str]:
    for note in notes:
        yield re.sub(r"\S*[/\\](?=\S+\.py)", "", note)


@contextmanager
def _quiet() -> Iterator[None]:
    """Exempt what is known, for this module's calls only."""
    with warnings.catch_warnings():
        # TorchScript is asked for; it is dropped here when torch drops it.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        # Freezing a dynamic int8 module copies its weights; see pipeline.compress.dynamic.
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)
        yield
