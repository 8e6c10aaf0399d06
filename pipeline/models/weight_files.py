"""Recognizes the kind of a file of weights from its bytes, before any library opens it; its name does not matter."""

from __future__ import annotations

import json
import re
import shlex
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.errors import DataError

WeightsKind = Literal["safetensors", "torch.save", "index"]
_KINDS: tuple[WeightsKind, ...] = ("safetensors", "torch.save", "index")
_EXPECTED = "a file of weights (safetensors, torch.save, or the index of several)"
_HEAD_BYTES = 4096
_SHOWN_CHARACTERS = 80
_SHOWN = 6
# Limits of a zip's unpacked bytes: a number that is always taken, and a factor on its own bytes. torch.save does not
# compress. A file that was packed again shrinks to some tenth where most weights are zero; one that unpacks to far more
# would fill a memory.
_ALWAYS_UNPACKED = 2**26
_MOST_UNPACKED = 20
# Bytes of the largest index that is read.
LARGEST_INDEX = 2**26
_DOWNLOAD = "download it again"
_STATE_DICT = "save the network's state dict in PyTorch: torch.save(network.state_dict(), path)"
_UNPACK = "unpack it, and name the file of weights inside"
# Offset and bytes, the kind of a file that has these bytes there, and advice.
_MAGIC = (
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write", _STATE_DICT),
    (0, b"\x93NUMPY", "one NumPy array (.npy)", _STATE_DICT),
    (4, b"TFL3", "a TensorFlow Lite file", _STATE_DICT),
    (0, b"GGUF", "a GGUF file, as llama.cpp reads", _STATE_DICT),
)
# Field numbers of ONNX's ModelProto after `ir_version`, as protobuf tags. TensorFlow's SavedModel begins alike.
_PROTOBUF_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")


def weights_kind(path: Path) -> WeightsKind:
    """Kind of a file of weights: safetensors, what torch.save writes, or the JSON index of several such files.

    Raises:
        DataError: there is no such file, or its content is of another kind, which is named.
    """
    try:
        if not path.is_file():
            raise DataError(f"weights {path}: expected a file, found none; model.weights is relative to the recipe")
        kind, advice = _kind(path)
    except OSError as error:
        raise DataError(f"weights {path}: expected a file that can be read, found: {error.strerror}") from error
    for known in _KINDS:
        if kind == known:
            return known
    raise DataError(f"weights {path}: expected {_EXPECTED}, found {kind}; {advice}")


def _kind(path: Path) -> tuple[str, str]:
    """Kind of a file, and advice, which is empty for weights."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    # This check comes first, because a safetensors file begins with the length of its header, which may look like the
    # first bytes of any other kind.
    header_bytes = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header_bytes < 2**32:
        return _safetensors_kind(path, header_bytes)
    for place, magic, kind, advice in _MAGIC:
        if head.startswith(magic, place):
            return kind, advice
    if not head:
        return "an empty file", f"{_DOWNLOAD}, or copy it anew"
    if not head.strip(b"\x00"):
        return "zeros where a file begins, as an interrupted copy leaves them", f"{_DOWNLOAD}, or copy it anew"
    if head.startswith(b"PK"):
        return _zip_kind(path)
    if head[0] == 0x80:  # a pickle's first operation; torch.save's older form is a chain of pickles
        return "torch.save", ""
    if head[0] == 0x08 and head[1:2] <= b"\x20" and head[2:3] and head[2] in _PROTOBUF_TAGS:
        return "a graph, as ONNX or TensorFlow write", _STATE_DICT
    return _text_kind(path, head) or (f"bytes of no known kind, which begin with {head[:8].hex(' ')}", _STATE_DICT)


def _safetensors_kind(path: Path, header_bytes: int) -> tuple[str, str]:
    """Kind of a safetensors file: whole, or cut short of the bytes that its header describes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(8 + min(header_bytes, size))[8:].decode("utf-8", errors="replace")
    ends = [int(end) for end in re.findall(r'"data_offsets":\s*\[\s*\d+\s*,\s*(\d+)\s*\]', header)]
    whole = 8 + header_bytes + max(ends, default=0)
    if size < whole:
        return f"the beginning of a safetensors file: {size:,} bytes of {whole:,}", _DOWNLOAD
    return "safetensors", ""


def _zip_kind(path: Path) -> tuple[str, str]:
    """Kind of a zip: a file of torch.save, of TorchScript, or of another program."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return f"the beginning of a zip archive: {size:,} bytes without the list that ends one", _DOWNLOAD
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(_ALWAYS_UNPACKED, _MOST_UNPACKED * size):
        return f"a zip archive of {size:,} bytes that unpacks to {unpacked:,}, as no weights do", _DOWNLOAD
    names = [member.filename for member in members]
    inside = {name.partition("/")[2] or name for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        module = f'torch.jit.load({_quoted(path)}, map_location="cpu")'
        return "a TorchScript archive", as_safetensors(path, f"{module}.state_dict()")
    if any(name.startswith("models/") or "exported_program" in name for name in inside | set(names)):
        return "a program of torch.export", as_safetensors(path, f"torch.export.load({_quoted(path)}).state_dict")
    if "data.pkl" in inside:
        return "torch.save", ""
    if names and all(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)", _STATE_DICT
    if "model.weights.h5" in names:
        return "a Keras archive", _STATE_DICT
    shown = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
    return f"a zip archive of {shown or 'nothing'}", _UNPACK


def as_safetensors(path: Path, state: str, *, classes: bool = False) -> str:
    """Advice for a file that only code run from it could restore: the command that writes its tensors as safetensors.

    Args:
        path: path of the file; the other file lies beside it.
        state: Python expression, without single quotes, that gives the tensors, or NumPy's arrays, by name.
        classes: whether it needs classes of the user's.
    """
    target = path.with_suffix(".tensors.safetensors" if path.suffix == ".safetensors" else ".safetensors")
    code = (
        f"import torch; from safetensors.torch import save_file; state = {state}; "
        "save_file({k: torch.as_tensor(v).contiguous().clone() for k, v in state.items() "
        f'if hasattr(v, "shape")}}, {_quoted(target)})'
    )
    where = ", where its classes can be imported" if classes else ""
    return f"of a file that you trust, make {target.name}{where}: python -c {shlex.quote(code)}"


def _quoted(path: Path) -> str:
    """A path as a Python string in double quotes."""
    return json.dumps(str(path))


def _text_kind(path: Path, head: bytes) -> tuple[str, str] | None:
    """Kind of a text in place of weights; None for bytes with control characters, which are not text."""
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < _HEAD_BYTES else "ignore").strip()
    except UnicodeDecodeError:
        return None
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        return None
    shown = f"{' '.join(text.split())[:_SHOWN_CHARACTERS]!r}"
    pointer = re.match(r"version https://git-lfs\.github\.com/.*?size (\d+)", text, flags=re.DOTALL)
    if pointer:
        return f"a Git LFS pointer to {int(pointer[1]):,} bytes", "fetch the file itself: git lfs pull"
    if re.match(r"(<!doctype|<html|<\?xml|<!--)", text, flags=re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title", text, flags=re.IGNORECASE | re.DOTALL)
        named = f", {' '.join(title[1].split())[:_SHOWN_CHARACTERS]!r}" if title else ""
        return f"a web page{named}", f"{_DOWNLOAD} from the address of the file itself, logged in if it needs that"
    if text.startswith(("{", "[")):
        if path.stat().st_size <= LARGEST_INDEX and b'"weight_map"' in path.read_bytes():
            return "index", ""
        return (
            f"JSON: {shown}",
            f"{_DOWNLOAD}, if that is a server's refusal; an index of several files has a weight_map",
        )
    return f"text: {shown}", f"{_DOWNLOAD}; a server may have answered with a message"


def some(names: Sequence[str], shown: int = _SHOWN) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
