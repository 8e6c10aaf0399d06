"""Archives of a stranger who wants something run, written, or believed: each made from a good one, with its refusal.

What a model file itself may hold is in `code.py` beside this; here, everything around it.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from pipeline.archive.mar import Archive
from pipeline.engine.artifacts import digest_bytes
from tests.faulty_archives import Change, zipped


@dataclass(frozen=True, kw_only=True)
class Evil:
    """One trick.

    Args:
        name: of the test.
        make: the file's content, of a good archive and of code that leaves a mark where it runs.
        line: what the refusal says, behind the archive's path.
    """

    name: str
    make: Callable[[Archive, bytes], bytes]
    line: str


def forged(
    archive: Archive,
    *,
    members: Mapping[str, bytes] | None = None,
    serving: Change | None = None,
    manifest: Change | None = None,
    listed: bool = True,
) -> bytes:
    """Canonical bytes of an archive with other members, every digest right.

    Args:
        archive: to start from.
        members: other content by name, or more of it.
        serving: changes the document of `serving.json`.
        manifest: changes TorchServe's.
        listed: whether new members are listed in `serving.json`.
    """
    made = {**archive.members, **(members or {})}
    if manifest is not None:
        document = json.loads(made["MAR-INF/MANIFEST.json"])
        manifest(document)
        made["MAR-INF/MANIFEST.json"] = (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
    described = json.loads(made.pop("serving.json"))
    known = made if listed else archive.serving.files
    described["files"] = {name: digest_bytes(made[name]) for name in known}
    if serving is not None:
        serving(described)
    made["serving.json"] = json.dumps(described).encode()
    return zipped(sorted(made.items()))


def _more(name: str) -> Callable[[Archive, bytes], bytes]:
    return lambda archive, code: forged(archive, members={name: code})


def _manifest(change: Change) -> Callable[[Archive, bytes], bytes]:
    return lambda archive, _: forged(archive, manifest=change)


def _described(change: Change) -> Callable[[Archive, bytes], bytes]:
    return lambda archive, _: forged(archive, serving=change)


def _set(*path: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        inner = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


def _input(name: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["inputs"][0][name] = value

    return change


def _renamed(role: tuple[str, ...], old: str, new: str) -> Callable[[Archive, bytes], bytes]:
    """A file of a role under another name, in the list and in the zip."""

    def make(archive: Archive, code: bytes) -> bytes:
        content = code if new.endswith(".py") else archive.members[old]
        made = {**archive.members, new: content}
        described = json.loads(made["serving.json"])
        _set(*role, value=new)(described)
        described["files"][new] = digest_bytes(content)
        made["serving.json"] = json.dumps(described).encode()
        return zipped(sorted(made.items()))

    return make


# Places in a zip's headers are those of APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
def _raw(change: Callable[[bytearray], None]) -> Callable[[Archive, bytes], bytes]:
    def make(archive: Archive, _: bytes) -> bytes:
        content = bytearray(archive.to_bytes())
        change(content)
        return bytes(content)

    return make


def _central(content: bytes, member: bytes) -> int:
    """Where a member's entry of the directory begins; its name stands 46 bytes behind."""
    directory = struct.unpack_from("<I", content, content.rindex(b"PK\x05\x06") + 16)[0]
    return content.index(member, directory) - 46


def _local(content: bytes, member: bytes) -> int:
    """Where its local header begins; its name stands 30 bytes behind."""
    place: int = struct.unpack_from("<I", content, _central(content, member) + 42)[0]
    return place


def _size_lie(content: bytearray) -> None:
    struct.pack_into("<II", content, _central(bytes(content), b"model.onnx") + 20, 1 << 31, 1 << 31)


def _overlap(content: bytearray) -> None:
    """The model's entry leads to the local header of the golden batch."""
    golden = _local(bytes(content), b"golden.safetensors")
    struct.pack_into("<I", content, _central(bytes(content), b"model.onnx") + 42, golden)


def _encrypted(content: bytearray) -> None:
    content[_central(bytes(content), b"model.onnx") + 8] |= 1


def _other_local_name(content: bytearray) -> None:
    at = _local(bytes(content), b"model.onnx") + 30
    content[at : at + 10] = b"numpy.onnx"


def _link(content: bytearray) -> None:
    struct.pack_into("<I", content, _central(bytes(content), b"model.onnx") + 38, 0o120777 << 16)


def _comment(content: bytearray) -> None:
    struct.pack_into("<H", content, len(content) - 2, 5)
    content += b"#!/sh"


def _twice(archive: Archive, code: bytes) -> bytes:
    entries = sorted(archive.members.items())
    return zipped([*entries, ("model_onnx", code)]).replace(b"model_onnx", b"model.onnx")


def _bomb(archive: Archive, _: bytes) -> bytes:
    buffer = io.BytesIO(archive.to_bytes())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(1 << 26))
    return buffer.getvalue()


def _nul(archive: Archive, code: bytes) -> bytes:
    """`handlers/a.py` to who stops at the NUL, another name to who does not."""
    made = forged(archive, members={"handlers/aXpy": code})
    return made.replace(b"handlers/aXpy", b"handlers/a\0py")


def _twice_in_manifest(archive: Archive, _: bytes) -> bytes:
    content = archive.members["MAR-INF/MANIFEST.json"]
    twice = content.replace(b'"handler"', b'"handler": "os:system", "handler"')
    return forged(archive, members={"MAR-INF/MANIFEST.json": twice})


def _deep(archive: Archive, _: bytes) -> bytes:
    members = {**archive.members, "serving.json": b'{"schema": 1, "model": ' + b"[" * 100_000}
    return zipped(sorted(members.items()))


def _beyond_numbers(archive: Archive, _: bytes) -> bytes:
    made = forged(archive, serving=_set("top", value="TOP"))
    members = {name: content for name, content in _members(made).items() if name != "serving.json"}
    described = _members(made)["serving.json"].replace(b'"TOP"', b"1e999")
    return zipped(sorted({**members, "serving.json": described}.items()))


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _golden(change: Callable[[dict[str, Any]], None]) -> Callable[[Archive, bytes], bytes]:
    def make(archive: Archive, _: bytes) -> bytes:
        arrays = load(archive.members["golden.safetensors"])
        change(arrays)
        return forged(archive, members={"golden.safetensors": save(arrays)})

    return make


def _wider(arrays: dict[str, Any]) -> None:
    arrays["logits.1"] = np.zeros((len(arrays["logits.1"]), 6), np.float32)


def _no_answers(arrays: dict[str, Any]) -> None:
    del arrays["logits.7"]


def _not_finite(arrays: dict[str, Any]) -> None:
    arrays["logits.2"] = np.full_like(arrays["logits.2"], np.nan)


_MODULE = "expected only what `pipeline build` packs"
_WRITES = r"as `pipeline build` writes it, found"
_NAME = r"expected a name of at most 100 letters, digits, - and _, single dots between them, found"
_CANONICAL = "expected the canonical form of its members, found altered bytes"

EVIL = (
    # Modules that would be imported instead of a library: TorchServe puts the unpacked folder first on the path.
    Evil(name="numpy.py", make=_more("numpy.py"), line=f"'numpy.py': {_MODULE}"),
    Evil(name="sitecustomize.py", make=_more("sitecustomize.py"), line=f"'sitecustomize.py': {_MODULE}"),
    Evil(name="a package json", make=_more("json/__init__.py"), line=f"'json/__init__.py': {_MODULE}"),
    Evil(name="a package in handlers", make=_more("handlers/json/__init__.py"), line=_MODULE),
    Evil(name="a library in C", make=_more("onnxruntime.so"), line=f"'onnxruntime.so': {_MODULE}"),
    Evil(name="a path file", make=_more("evil.pth"), line=f"'evil.pth': {_MODULE}"),
    Evil(name="requirements", make=_more("requirements.txt"), line=f"'requirements.txt': {_MODULE}"),
    Evil(name="model-config", make=_more("model-config.yaml"), line=f"'model-config.yaml': {_MODULE}"),
    Evil(name="beside the manifest", make=_more("MAR-INF/evil.py"), line=f"'MAR-INF/evil.py': {_MODULE}"),
    Evil(
        name="a module that nobody lists",
        make=lambda archive, code: forged(archive, members={"numpy.py": code}, listed=False),
        line=r"numpy\.py: expected only members listed in serving\.json, found one more",
    ),
    # TorchServe's manifest.
    Evil(
        name="another entry point",
        make=_manifest(_set("model", "handler", value="os:system")),
        line=rf"model\.handler: expected 'torchserve_handler\.py', {_WRITES} 'os:system'",
    ),
    Evil(
        name="another runtime",
        make=_manifest(_set("runtime", value="LSP")),
        line=rf"runtime: expected 'python', {_WRITES} 'LSP'",
    ),
    Evil(
        name="packages to install",
        make=_manifest(_set("model", "requirementsFile", value="golden.safetensors")),
        line=rf"model\.requirementsFile: expected none, {_WRITES} 'golden\.safetensors'",
    ),
    Evil(
        name="a configuration",
        make=_manifest(_set("model", "configFile", value="serving.json")),
        line=rf"model\.configFile: expected none, {_WRITES} 'serving\.json'",
    ),
    Evil(
        name="a manifest of two minds",
        make=_twice_in_manifest,
        line=r"MAR-INF/MANIFEST\.json: expected it as `pipeline build` writes it, found other bytes",
    ),
    # Names that become paths.
    Evil(
        name="name upwards",
        make=_described(_set("model", "name", value="../../../escaped")),
        line=rf"model\.name: {_NAME} '\.\./\.\./\.\./escaped'",
    ),
    Evil(name="no name", make=_described(_set("model", "name", value="")), line=rf"model\.name: {_NAME} ''"),
    Evil(name="long name", make=_described(_set("model", "name", value="x" * 101)), line=rf"model\.name: {_NAME} 'xxx"),
    Evil(
        name="name that ends a line",
        make=_described(_set("model", "name", value="tiny\n")),
        line=rf"model\.name: {_NAME} 'tiny\\n'",
    ),
    Evil(
        name="name that steers a terminal",
        make=_described(_set("model", "name", value="tiny\x1b[2J")),
        line=rf"model\.name: {_NAME} 'tiny\\x1b\[2J'",
    ),
    Evil(name="version", make=_described(_set("model", "version", value="1/../..")), line=rf"model\.version: {_NAME}"),
    Evil(
        name="candidate",
        make=_described(_set("candidate", "name", value="/etc/passwd")),
        line=r"candidate\.name: expected a name of at most 240",
    ),
    Evil(
        name="a model called numpy.py",
        make=_renamed(("runtime", "file"), "model.onnx", "numpy.py"),
        line=r"runtime: file: expected a plain file name that ends in \.onnx, found 'numpy\.py'",
    ),
    Evil(
        name="golden answers elsewhere",
        make=_described(_set("golden", "file", value="../golden.safetensors")),
        line=r"golden\.file: expected a plain file name that ends in \.safetensors, found '\.\./golden",
    ),
    Evil(
        name="pictures elsewhere",
        make=_described(_set("pictures", value="/etc/pictures.safetensors")),
        line="pictures: expected a plain file name that ends in",
    ),
    Evil(
        name="one file for two purposes",
        make=_described(_set("pictures", value="golden.safetensors")),
        line="files: expected a file of its own for each purpose",
    ),
    Evil(
        name="listed file upwards",
        make=_described(_set("files", "../x", value="0" * 64)),
        line=r"files: expected relative names of files, found '\.\./x'",
    ),
    Evil(
        name="input whose name hides",
        make=_described(_input("name", "image\u202e")),
        line=r"name: expected text without control characters, found 'image\\u202e'",
    ),
    # The zip.
    Evil(name="a member twice", make=_twice, line=r"model\.onnx: expected each member once, found 2"),
    Evil(name="absolute", make=_more("/etc/evil.py"), line="expected a relative member name"),
    Evil(name="upwards", make=_more("../evil.py"), line="expected a relative member name"),
    Evil(name="backslash", make=_more("handlers\\evil.py"), line="expected a relative member name"),
    Evil(name="NUL", make=_nul, line="expected "),
    Evil(name="other case", make=_more("Serving.json"), line=f"'Serving.json': {_MODULE}"),
    Evil(name="other form", make=_more("\uff4eumpy.py"), line="files: expected relative names of files"),
    Evil(name="a folder", make=_more("torch/"), line="files: expected relative names of files"),
    Evil(name="a link", make=_raw(_link), line=_CANONICAL),
    Evil(name="sizes that lie", make=_raw(_size_lie), line="found sizes beyond the file's own"),
    Evil(name="one place for two", make=_raw(_overlap), line="File name in directory"),
    Evil(name="encrypted", make=_raw(_encrypted), line="is encrypted"),
    Evil(name="two names for one", make=_raw(_other_local_name), line="File name in directory"),
    Evil(name="a comment", make=_raw(_comment), line=f"{_CANONICAL} behind the last member"),
    Evil(name="a script in front", make=lambda archive, _: b"#!/bin/sh\n" + archive.to_bytes(), line=_CANONICAL),
    Evil(name="more behind", make=lambda archive, code: archive.to_bytes() + code, line=_CANONICAL),
    Evil(name="a bomb", make=_bomb, line="bomb: expected a stored member, found a compressed one"),
    # The description.
    Evil(name="top below", make=_described(_set("top", value=-1)), line="top: expected a whole number from 1 to 5"),
    Evil(name="top beyond", make=_described(_set("top", value=10**9)), line="top: expected a whole number from 1 to 5"),
    Evil(
        name="settings of no task", make=_described(_set("task_settings", value={"x": 1})), line="found: task classif"
    ),
    Evil(name="top infinite", make=_beyond_numbers, line="top: expected a whole number from 1 to 5, found inf"),
    Evil(
        name="no batch",
        make=_described(_set("golden", "batch_sizes", value=[0])),
        line=r"golden\.batch_sizes: ",
    ),
    Evil(
        name="no batches",
        make=_described(_set("golden", "batch_sizes", value=[])),
        line=r"golden\.batch_sizes: expected at least one, found none",
    ),
    Evil(name="no labels", make=_described(_set("labels", value=[])), line="expected"),
    Evil(name="no inputs", make=_described(_set("inputs", value=[])), line="inputs: expected at least one, found none"),
    Evil(
        name="threads",
        make=_described(_set("runtime", "threads", value=10**9)),
        line="runtime: threads: expected a whole number from 1 to 1024, found 1000000000",
    ),
    Evil(name="nesting", make=_deep, line=r"serving\.json: .*: maximum recursion depth"),
    Evil(name="another schema", make=_described(_set("schema", value=2)), line="expected schema 1, which pipeline"),
    Evil(
        name="an input beyond memory",
        make=_described(_input("shape", [1, 10**6, 10**6])),
        line=r"input\.image: expected uint8 of shape \[9, 1, 1000000, 1000000\]",
    ),
    # Golden answers that anything passes.
    Evil(
        name="tolerance NaN",
        make=_described(_set("golden", "tolerance", "absolute", value=float("nan"))),
        line=r"golden\.tolerance\.absolute: expected a number from 0 to less than 1e\+30.* found nan",
    ),
    Evil(
        name="tolerance beyond",
        make=_described(_set("golden", "tolerance", "absolute", value=1e30)),
        line="which would accept every answer, found 1e",
    ),
    Evil(
        name="tolerance of the whole",
        make=_described(_set("golden", "tolerance", "spread", value=1.0)),
        line=r"golden\.tolerance\.spread: expected a number from 0 to less than 1, which",
    ),
    Evil(
        name="tolerance above all answers",
        make=_described(_set("golden", "tolerance", "absolute", value=1e6)),
        line="expected a limit far below the largest golden answer",
    ),
    Evil(name="answers of another width", make=_golden(_wider), line=r"logits\.1: expected finite float32 of shape"),
    Evil(name="answers left out", make=_golden(_no_answers), line=r"expected an array 'logits\.7', found none"),
    Evil(name="answers that are none", make=_golden(_not_finite), line=r"logits\.2: .* with NaN or infinity"),
)
