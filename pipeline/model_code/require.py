"""The check of a stranger's model file before it is loaded: can it do more than compute?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import assert_never

from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline.errors import FileError, UsageError
from pipeline.model_code.torchscript import check_torchscript, read_torchscript

_NAME = re.compile(r"[\w.]+::\w+", re.ASCII)


def require_safe_model(
    path: Path, runtime: RuntimeSpec, members: Mapping[str, bytes], *, allowed_operators: Sequence[str] = ()
) -> None:
    """Raise an error if an archive's model file could do more than compute; see `pipeline.model_code`.

    Args:
        path: path of the archive, for messages.
        runtime: names the member that is the model file, and the library that will load it.
        members: bytes of the archive's members by name, already checked against their digests.
        allowed_operators: names such as `aten::grad` that the user allows beside the list.

    Raises:
        FileError: the file could do more; nothing of it was loaded.
        UsageError: an allowed operator is not a name that an operator can have.
    """
    check_operator_names(allowed_operators)
    # A runtime decides by the ending: ONNX Runtime reads a .ort file in another way.
    ending = RUNTIMES[runtime.kind].ending
    if PurePosixPath(runtime.file).suffix != ending:
        raise FileError(f"{path}: expected a model file ending in {ending} for {runtime.kind}, found {runtime.file!r}")
    require_safe_file(
        f"{path}: {runtime.file}", runtime.kind, members[runtime.file], allowed_operators=allowed_operators
    )


def require_safe_file(name: str, kind: RuntimeKind, content: bytes, *, allowed_operators: Sequence[str] = ()) -> None:
    """Raise an error if a model file that is in no archive could do more than compute.

    Args:
        name: name of the file, for messages.
        kind: library that will load it.
        content: bytes of the file.
        allowed_operators: names such as `aten::grad` that the user allows beside the list.

    Raises:
        FileError: the file could do more; nothing of it was loaded.
    """
    match kind:
        case "onnxruntime":
            from pipeline.model_code.onnx_file import check_onnx

            check_onnx(name, content, allowed_operators=allowed_operators)
        case "torchscript":
            check_torchscript(name, content, allowed_operators=allowed_operators)
        case unreachable:
            assert_never(unreachable)


def unlisted_operators(file: Path, kind: RuntimeKind) -> tuple[str, ...]:
    """Operators that a file needs and that only `--allow-operator` allows; none for an ONNX file of a build.

    Args:
        file: path of a model file of a build.
        kind: library that loads it.

    Raises:
        FileError: the file does not have the form that a build writes.
    """
    match kind:
        case "onnxruntime":
            return ()
        case "torchscript":
            return tuple(read_torchscript(file.name, file.read_bytes()).refused(()))
        case unreachable:
            assert_never(unreachable)


def check_operator_names(names: Sequence[str]) -> None:
    """Raise an error at the first name that no operator can have.

    Raises:
        UsageError: the name does not consist of a namespace and a name.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--allow-operator: expected an operator's namespace and name, aten::grad for example, found {name!r}"
            )
