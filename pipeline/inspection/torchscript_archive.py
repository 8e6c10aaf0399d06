"""What is in a TorchScript file, read from its zip members: nothing is loaded and no pickle is executed."""

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
# Called by the code of every archive, but no operator of a network.
_PLUMBING = frozenset({"torch.to", "ops.prim.dtype"})


@dataclass(frozen=True, kw_only=True)
class StoredTensors:
    """Tensors of one element type.

    Args:
        storage: torch's name of the storage, `FloatStorage` or `QInt8Storage`, say.
        tensors: how many.
        elements: values in all of them.
    """

    storage: str
    tensors: int
    elements: int


@dataclass(frozen=True, kw_only=True)
class TorchScriptInspection:
    """What is in a TorchScript file.

    Args:
        file: its name.
        size: bytes.
        sha256: of its bytes.
        operators: number of calls by operator in the compiled code, most frequent first.
        classes: names of the compiled classes.
        frozen: whether weights are constants of the code rather than attributes of modules.
        tensors: what is stored, by element type. Constants of preprocessing are among it.
        members: files in the archive.
        code: the compiled Python-like source, by member name.
        refused: operators that keep `verify`, `bench` and `serve` from loading it, and why; or what cannot be read.
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
        """As JSON values."""
        return asdict(self)


def inspect_torchscript(name: str, content: bytes) -> TorchScriptInspection:
    """Read a TorchScript file without loading it.

    Args:
        name: for messages.
        content: the file's bytes.

    Raises:
        FileError: these bytes are no whole zip file, or one that holds no compiled code.
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
        classes=tuple(one for text in code.values() for one in _CLASS.findall(text)),
        frozen=any("CONSTANTS." in text for text in code.values())
        and all("__parameters__ = []" in text for text in code.values() if _CLASS.search(text)),
        tensors=tuple(
            StoredTensors(storage=storage, tensors=stored[storage], elements=elements[storage])
            for storage in sorted(stored)
        ),
        members=members,
        code=code,
        refused=_refused(code),
    )


def _refused(code: dict[str, str]) -> dict[str, str]:
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
    class that was written before is fetched from the memo by its number; memo numbers count up from 0.
    """
    found: list[tuple[str, int]] = []
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
                parts = [one for one in recent if one is not None][-4:]
                if len(parts) == 4 and str(parts[0]).startswith("torch ") and isinstance(parts[3], int):
                    storage, key, elements = str(parts[0]).removeprefix("torch "), str(parts[1]), parts[3]
                    if (storage, key) not in seen:
                        seen.add((storage, key))
                        found.append((storage, elements))
                recent.append(None)
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3" | "MARK" | "EMPTY_TUPLE":
                pass
            case _:
                recent.append(argument)
        del recent[:-16]
    return found
