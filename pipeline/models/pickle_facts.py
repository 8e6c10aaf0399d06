"""What a pickle holds, as far as its operations show it without being carried out; for messages, not for safety."""

from __future__ import annotations

import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import torch

from pipeline.engine.zip_errors import ZIP_ERRORS

# torch.save's older form is a chain of pickles: two numbers, facts of the machine, the document, the names of its data.
_CHAIN = 5
_MAGIC = torch.serialization.MAGIC_NUMBER
# Names in a pickle of plain tensors. The underscored function turns text into bytes.
_PLAIN = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.\w+Storage|torch\.storage\.\w+Storage|"
    r"torch\.(Size|device|Tensor|b?float\w*|u?int\w+|bool|complex\w+)|torch\.nn\.parameter\.Parameter|"
    r"torch\.serialization\._get_layout|collections\.(OrderedDict|Counter)|_codecs\.encode|"
    r"builtins\.(set|bytearray|complex)"
)


@dataclass(frozen=True, kw_only=True)
class PickleFacts:
    """Facts of a pickled document.

    Args:
        protocol: version of the pickle protocol.
        root: full name of the class of the outermost object; empty if it is a dict, a list or another plain value.
        names: full names of classes and functions, sorted, without those of plain tensors.
        texts: strings in it.
        bare: whether it is a pickle that torch.save did not write.
    """

    protocol: int = 0
    root: str = ""
    names: tuple[str, ...] = ()
    texts: frozenset[str] = frozenset()
    bare: bool = False


def pickle_facts(path: Path) -> PickleFacts:
    """Facts of the document in a file of torch.save, or in a bare pickle; as many as a damaged file shows."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                member = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
                with archive.open(member) as stream:
                    return _facts([*_operations(stream)])
        except (StopIteration, *ZIP_ERRORS):
            return PickleFacts()
    with path.open("rb") as stream:
        pickles = [[*_operations(stream)] for _ in range(_CHAIN)]
    bare = not any(argument == _MAGIC for _, argument in pickles[0])
    return replace(_facts(pickles[0] if bare else pickles[3]), bare=bare)


def _operations(stream: IO[bytes]) -> Iterator[tuple[str, object]]:
    """Names and arguments of the operations of one pickle, up to its end or its first fault."""
    try:
        for operation, argument, _ in pickletools.genops(stream):
            yield operation.name, argument
    except (ValueError, EOFError, OSError, UnicodeDecodeError):
        return


def _facts(operations: list[tuple[str, object]]) -> PickleFacts:
    """Facts of one pickle."""
    texts: list[str] = []
    names: list[str] = []
    memo: list[str] = []  # text of each object that newer protocols number, empty for what is no text
    protocol, root, first, last = 0, "", True, ""
    for operation, argument in operations:
        match operation:
            case "PROTO" if isinstance(argument, int):
                protocol = argument
            case "MEMOIZE":
                memo.append(last)
            case "BINGET" | "LONG_BINGET" if isinstance(argument, int) and argument < len(memo) and memo[argument]:
                texts.append(memo[argument])
            case "GLOBAL" | "INST" | "STACK_GLOBAL":
                name = ".".join(texts[-2:]) if argument is None else _full_name(str(argument))
                names.append(name)
                root, first = name if first else root, False
            case _ if isinstance(argument, str):
                texts.append(argument)
            case "FRAME":
                pass
            case _:
                first = False
        last = argument if isinstance(argument, str) else ""
    return PickleFacts(
        protocol=protocol,
        root="" if _PLAIN.fullmatch(root) else root,
        names=tuple(sorted({name for name in names if not _PLAIN.fullmatch(name)})),
        texts=frozenset(texts),
    )


def _full_name(argument: str) -> str:
    """Full name of a class or function that a pickle of an older protocol names as Python 2 did."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
