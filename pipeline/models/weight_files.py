"""Recognizes the kind of a file of weights from its bytes, before any library opens it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from pipeline.errors import DataError

SUFFIXES = (".safetensors", ".pt", ".pth")
SAFETENSORS = "a safetensors file"
TORCH_SAVE = "a file of torch.save"
_HEAD_BYTES = 4096
_SHOWN_CHARACTERS = 80
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


def check_weights_file(path: Path) -> Path:
    """Return a path if it names a file that may hold weights.

    Raises:
        DataError: there is no such file, it has another ending, or its content is of another kind, which is named.
    """
    if path.suffix not in SUFFIXES and not path.is_file():
        raise DataError(f"weights {path}: expected a file ending in {', '.join(SUFFIXES)}, found {_ending(path)}")
    if not path.is_file():
        entry = "a folder" if path.is_dir() else "none"
        raise DataError(f"weights {path}: expected a file, found {entry}; model.weights is relative to the recipe")
    try:
        kind, advice = _kind(path)
    except OSError as error:
        raise DataError(f"weights {path}: expected a file that can be read, found: {error.strerror}") from error
    wanted = SAFETENSORS if path.suffix == ".safetensors" else TORCH_SAVE
    if path.suffix not in SUFFIXES:
        hint = f", {kind}" if kind else ""
        raise DataError(
            f"weights {path}: expected a file ending in {', '.join(SUFFIXES)}, found {_ending(path)}{hint}; "
            f"{advice or _rename(kind) or _STATE_DICT}"
        )
    if kind not in (wanted, ""):
        raise DataError(f"weights {path}: expected {wanted}, found {kind}; {advice or _rename(kind)}")
    return path


def _ending(path: Path) -> str:
    return path.suffix or "none"


def _rename(kind: str) -> str:
    """Advice for a file that only has the wrong ending."""
    match kind:
        case _ if kind == SAFETENSORS:
            return "rename it to end in .safetensors"
        case _ if kind == TORCH_SAVE:
            return "rename it to end in .pth"
        case _:
            return ""


def _kind(path: Path) -> tuple[str, str]:
    """Kind of a file, and advice; both are empty where its first bytes do not show the kind."""
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
        return TORCH_SAVE, ""
    if head[0] == 0x08 and head[1:2] <= b"\x20" and head[2:3] and head[2] in _PROTOBUF_TAGS:
        return "a graph, as ONNX or TensorFlow write", _STATE_DICT
    return _text_kind(head)


def _safetensors_kind(path: Path, header_bytes: int) -> tuple[str, str]:
    """Kind of a safetensors file: whole, or cut short of the bytes that its header describes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(8 + min(header_bytes, size))[8:].decode("utf-8", errors="replace")
    ends = [int(end) for end in re.findall(r'"data_offsets":\s*\[\s*\d+\s*,\s*(\d+)\s*\]', header)]
    whole = 8 + header_bytes + max(ends, default=0)
    if size < whole:
        return f"the beginning of a safetensors file: {size:,} bytes of {whole:,}", _DOWNLOAD
    return SAFETENSORS, ""


def _zip_kind(path: Path) -> tuple[str, str]:
    """Kind of a zip: a file of torch.save, of TorchScript, or of another program."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        size = path.stat().st_size
        return f"the beginning of a zip archive: {size:,} bytes without the list that ends one", _DOWNLOAD
    inside = {name.partition("/")[2] or name for name in names}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return (
            "a TorchScript archive",
            "load it with torch.jit and save its weights alone: torch.save(module.state_dict(), other_path)",
        )
    if any(name.startswith("models/") or "exported_program" in name for name in inside | set(names)):
        return (
            "a program of torch.export",
            "save its weights alone: torch.save(dict(torch.export.load(path).state_dict), other_path)",
        )
    if "data.pkl" in inside:
        return TORCH_SAVE, ""
    if names and all(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)", _STATE_DICT
    if "model.weights.h5" in names:
        return "a Keras archive", _STATE_DICT
    shown = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
    return f"a zip archive of {shown or 'nothing'}", _UNPACK


def _text_kind(head: bytes) -> tuple[str, str]:
    """Kind of a text in place of weights; empty for bytes with control characters, which are not text."""
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < _HEAD_BYTES else "ignore").strip()
    except UnicodeDecodeError:
        return "", ""
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        return "", ""
    shown = f"{' '.join(text.split())[:_SHOWN_CHARACTERS]!r}"
    pointer = re.match(r"version https://git-lfs\.github\.com/.*?size (\d+)", text, flags=re.DOTALL)
    if pointer:
        return f"a Git LFS pointer to {int(pointer[1]):,} bytes", "fetch the file itself: git lfs pull"
    if re.match(r"(<!doctype|<html|<\?xml|<!--)", text, flags=re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title", text, flags=re.IGNORECASE | re.DOTALL)
        named = f", {' '.join(title[1].split())[:_SHOWN_CHARACTERS]!r}" if title else ""
        return f"a web page{named}", f"{_DOWNLOAD} from the address of the file itself, logged in if it needs that"
    if text.startswith(("{", "[")):
        return f"JSON: {shown}", f"{_DOWNLOAD}, if that is a server's refusal; an index of several files is no weights"
    return f"text: {shown}", f"{_DOWNLOAD}; a server may have answered with a message"
