"""The one question before a stranger's model file is loaded: can it do more than compute?"""

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
    """Stop where an archive's model file could do more than compute; see `pipeline.model_code`.

    Args:
        path: of the archive, for messages.
        runtime: says which member is the model file, and what will load it.
        members: of the archive, already checked against their digests.
        allowed_operators: names such as `aten::grad` that the user allows beside the list.

    Raises:
        FileError: it could; nothing of it was loaded.
        UsageError: an allowed operator is no name of one.
    """
    check_operator_names(allowed_operators)
    # A runtime goes by the ending: ONNX Runtime reads .ort in another way.
    ending = RUNTIMES[runtime.kind].ending
    if PurePosixPath(runtime.file).suffix != ending:
        raise FileError(f"{path}: expected a model file ending in {ending} for {runtime.kind}, found {runtime.file!r}")
    require_safe_file(
        f"{path}: {runtime.file}", runtime.kind, members[runtime.file], allowed_operators=allowed_operators
    )


def require_safe_file(name: str, kind: RuntimeKind, content: bytes, *, allowed_operators: Sequence[str] = ()) -> None:
    """The same of a model file that is in no archive.

    Args:
        name: of the file, for messages.
        kind: of the library that will load it.
        content: its bytes.
        allowed_operators: likewise.

    Raises:
        FileError: likewise.
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
    """What `--allow-operator` has to be given for, so that a file is loaded; nothing of an ONNX file of a build.

    Args:
        file: of a build.
        kind: of the library that loads it.

    Raises:
        FileError: it is not of the form that a build writes.
    """
    match kind:
        case "onnxruntime":
            return ()
        case "torchscript":
            return tuple(read_torchscript(file.name, file.read_bytes()).refused(()))
        case unreachable:
            assert_never(unreachable)


def check_operator_names(names: Sequence[str]) -> None:
    """Stop at a name that no operator can have.

    Raises:
        UsageError: it is no namespace and name.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--allow-operator: expected an operator's namespace and name, aten::grad for example, found {name!r}"
            )
