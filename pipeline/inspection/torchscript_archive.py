"""Describes the content of a TorchScript file from its zip members. Nothing is loaded and no pickle is executed."""

from __future__ import annotations

import pickletools
import re
from collections import Counter
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal

from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.zip_errors import ZIP_ERRORS
from pipeline.errors import FileError
from pipeline.inspection.zips import MemberSpec, read_members
from pipeline.model_code.script_source import read_source
from pipeline.model_code.source_text import SourceError

_CALL = re.compile(r"\b(?:torch|ops\.\w+)\.\w+(?=\()")
_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
# The code of every archive calls these, but they are not operators of a network.
_PLUMBING = frozenset({"torch.to", "ops.prim.dtype"})


@dataclass(frozen=True, kw_only=True)
class StoredTensors:
    """Tensors of one element type.

    Args:
        storage: torch's name of the storage, such as `FloatStorage` or `QInt8Storage`.
        tensors: number of tensors.
        elements: number of values in all of them.
    """

    storage: str
    tensors: int
    elements: int


@dataclass(frozen=True, kw_only=True)
class TorchScriptInspection:
    """The content of a TorchScript file.

    Args:
        file: name of the file.
        size: size in bytes.
        sha256: digest of its bytes.
        operators: number of calls by operator in the compiled code, most frequent first.
        classes: names of the compiled classes.
        frozen: whether weights are constants of the code rather than attributes of modules.
        tensors: stored tensors, by element type, including constants of preprocessing.
        members: files in the archive.
        code: compiled Python-like source, by member name.
        refused: operators that keep `verify`, `bench` and `serve` from loading it, or unreadable source, with reasons.
    """

    file: str
    size: int
    sha256: str
    operators: dict[str, int]
    classes: tuple[str, ...]
    frozen: bool
    tensors: tuple[StoredTensors, ...]
    members: tuple[MemberSpec, ...]
    code: dict[str, str]
    refused: dict[str, str]
    format: Literal["torchscript"] = "torchscript"

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return asdict(self)


def inspect_torchscript(name: str, content: bytes) -> TorchScriptInspection:
    """Read a TorchScript file without loading it.

    Args:
        name: name of the file, for messages.
        content: bytes of the file.

    Raises:
        FileError: the bytes are not a whole zip file, or it holds no compiled code.
    """
    try:
        members, data = read_members(BytesIO(content))
    except ZIP_ERRORS as error:
        raise FileError(f"{name}: expected a TorchScript zip archive, found: {error}; the file is damaged") from error
    code = {
        member: data[member].decode("utf-8", errors="replace")
        for member in data
        if "/code/" in member and member.endswith(".py")
    }
    if not code:
        raise FileError(
            f"{name}: expected a TorchScript archive with compiled code, found none among {len(members)} members; "
            "weights saved with torch.save are a pickle and are not opened here: convert them to .safetensors"
        )
    calls = Counter(call for text in code.values() for call in _CALL.findall(text) if call not in _PLUMBING)
    stored: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    try:
        for member, pickled in data.items():
            if member.endswith(".pkl"):
                for storage, count in _storages(pickled):
                    stored[storage] += 1
                    elements[storage] += count
    except ValueError as error:
        raise FileError(f"{name}: expected readable pickle records, found: {error}; the file is damaged") from error
    return TorchScriptInspection(
        file=name,
        size=len(content),
        sha256=digest_bytes(content),
        operators=dict(sorted(calls.items(), key=lambda pair: (-pair[1], pair[0]))),
        classes=tuple(class_name for text in code.values() for class_name in _CLASS.findall(text)),
        frozen=any("CONSTANTS." in text for text in code.values())
        and all("__parameters__ = []" in text for text in code.values() if _CLASS.search(text)),
        tensors=tuple(
            StoredTensors(storage=storage, tensors=stored[storage], elements=elements[storage])
            for storage in sorted(stored)
        ),
        members=members,
        code=code,
        refused=_refusals(code),
    )


def _refusals(code: dict[str, str]) -> dict[str, str]:
    modules = {
        member.partition("/code/")[2].removesuffix(".py").replace("/", "."): text for member, text in code.items()
    }
    try:
        refused = read_source(modules).refused(())
    except SourceError as error:
        return {"source": str(error)}
    return {operator: reason for operator, (reason, _) in refused.items()}


def _storages(pickled: bytes) -> list[tuple[str, int]]:
    """Element type and size of every stored tensor, from a pickle's opcodes.

    torch writes a tensor as the persistent id `("storage", torch.FloatStorage, key, device, elements)`. A string or
    class that was written before is read from the memo by its number. Memo numbers count up from 0.
    """
    storages: list[tuple[str, int]] = []
    memo: dict[int, Any] = {}
    recent: list[Any] = []
    seen: set[tuple[str, str]] = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        match opcode.name:
            case "BINPUT" | "LONG_BINPUT":
                assert isinstance(argument, int)
                memo[argument] = recent[-1] if recent else None
            case "BINGET" | "LONG_BINGET":
                assert isinstance(argument, int)
                recent.append(memo.get(argument))
            case "BINPERSID":
                parts = [argument for argument in recent if argument is not None][-4:]
                if len(parts) == 4 and str(parts[0]).startswith("torch ") and isinstance(parts[3], int):
                    storage, key, elements = str(parts[0]).removeprefix("torch "), str(parts[1]), parts[3]
                    if (storage, key) not in seen:
                        seen.add((storage, key))
                        storages.append((storage, elements))
                recent.append(None)
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3" | "MARK" | "EMPTY_TUPLE":
                pass
            case _:
                recent.append(argument)
        del recent[:-16]
    return storages
