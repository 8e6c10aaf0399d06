from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from pipeline.commands.inspect import inspect
from pipeline.errors import FileError
from pipeline.inspection.model_archive import ArchiveInspection
from pipeline.inspection.onnx_model import OnnxInspection
from pipeline.inspection.torchscript_archive import TorchScriptInspection

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

# 32 and 64 kernels of 3x3 at 28x28 and 14x14, then 3136x512 and 512x10
FASHION_MACS = 784 * 32 * 9 + 196 * 64 * 32 * 9 + 3136 * 512 + 512 * 10


def test_the_float_onnx_file(exported: Exported) -> None:
    file = exported.folder / "float.onnx"
    inspection = inspect(file)
    assert isinstance(inspection, OnnxInspection)
    assert (inspection.parameters, inspection.macs) == (1_630_090, FASHION_MACS)
    network = {"Relu": 3, "Conv": 2, "Gemm": 2, "MaxPool": 2, "Reshape": 1}
    assert inspection.operators == network | {"Add": 1, "Cast": 1, "Mul": 1}
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in inspection.inputs] == [
        ("pixels", "uint8", ("batch", 1, 28, 28))
    ]
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in inspection.outputs] == [
        ("logits", "float32", ("batch", 10))
    ]
    assert inspection.opset == {"ai.onnx": 20}
    assert inspection.producer.startswith("pytorch")
    assert inspection.size == file.stat().st_size
    assert inspection.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [layer.operator for layer in inspection.layers] == ["Conv", "Conv", "Gemm", "Gemm"]
    assert json.loads(json.dumps(inspection.to_json()))["format"] == "onnx"


def test_the_int8_onnx_file_has_as_many_parameters_and_as_much_to_do(exported: Exported) -> None:
    inspection = inspect(exported.folder / "int8.onnx")
    assert isinstance(inspection, OnnxInspection)
    assert (inspection.parameters, inspection.macs) == (1_630_090, FASHION_MACS)


def test_the_torchscript_file(exported: Exported) -> None:
    inspection = inspect(exported.folder / "float.pt")
    assert isinstance(inspection, TorchScriptInspection)
    assert inspection.operators["torch.conv2d"] == inspection.operators["torch.linear"] == 2
    assert inspection.classes == ("Deployable",)
    assert inspection.frozen
    # the network's parameters, and factor and offset of the preprocessing
    assert [(group.storage, group.elements) for group in inspection.tensors] == [("FloatStorage", 1_630_090 + 2)]
    assert any("torch.max_pool2d" in text for text in inspection.code.values())
    assert json.loads(json.dumps(inspection.to_json()))["format"] == "torchscript"


def test_the_int8_torchscript_file(exported: Exported) -> None:
    inspection = inspect(exported.folder / "int8.pt")
    assert isinstance(inspection, TorchScriptInspection)
    assert inspection.operators["ops.quantized.linear_dynamic"] == 2
    elements = {group.storage: group.elements for group in inspection.tensors}
    assert elements["QInt8Storage"] == 3136 * 512 + 512 * 10
    assert sum(elements.values()) == 1_630_090 + 2


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def manifest_of(model: str) -> bytes:
    return json.dumps({"model": {"modelName": "m", "serializedFile": model}}).encode()


@pytest.mark.parametrize(("file", "form"), [("float.onnx", "onnx"), ("int8.pt", "torchscript")])
def test_an_archive_and_the_model_in_it(exported: Exported, file: str, form: str, tmp_path: Path) -> None:
    model = (exported.folder / file).read_bytes()
    serving = json.dumps({"schema": 1, "labels": ["a", "b"]}).encode()
    members = {"MAR-INF/MANIFEST.json": manifest_of(file), file: model, "serving.json": serving}
    inspection = inspect(pack(tmp_path / "m.mar", members))
    assert isinstance(inspection, ArchiveInspection)
    assert {member.name: (member.size, member.sha256) for member in inspection.members} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in members.items()
    }
    assert inspection.manifest["model"]["modelName"] == "m"
    assert inspection.serving == {"schema": 1, "labels": ["a", "b"]}
    assert inspection.model is not None
    assert (inspection.model.format, inspection.model.file) == (form, file)
    assert json.loads(json.dumps(inspection.to_json()))["model"]["format"] == form


def test_an_archive_of_another_origin(tmp_path: Path) -> None:
    members = {"MAR-INF/MANIFEST.json": manifest_of("weights.bin"), "weights.bin": b"123"}
    inspection = inspect(pack(tmp_path / "other.mar", members))
    assert isinstance(inspection, ArchiveInspection)
    assert inspection.serving is None
    assert inspection.model is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": b""}, r"expected the member MAR-INF/MANIFEST\.json, found none among 1"),
        ({"MAR-INF/MANIFEST.json": b"{"}, r"MAR-INF/MANIFEST\.json: expected JSON, found: "),
        ({"MAR-INF/MANIFEST.json": b"[" * 200_000}, r"MANIFEST\.json: expected JSON, found: maximum recursion depth"),
        ({"MAR-INF/MANIFEST.json": b"[]"}, "expected a JSON object, found list"),
        ({"MAR-INF/MANIFEST.json": manifest_of("m.onnx")}, r"expected the model file m\.onnx that its manifest names"),
        ({"MAR-INF/MANIFEST.json": manifest_of("m.onnx"), "m.onnx": b"no"}, r"m\.onnx: expected a valid ONNX model"),
    ],
    ids=["no manifest", "broken manifest", "nested manifest", "manifest of another kind", "no model", "broken model"],
)
def test_archives_that_are_none(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        inspect(pack(tmp_path / "m.mar", members))


def bomb(path: Path, size: int, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("zeros", "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize("ending", [".mar", ".pt"])
def test_files_that_unpack_to_far_more_than_themselves(ending: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / f"m{ending}", 1 << 20)
    path.write_bytes(path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (600 << 20).to_bytes(4, "little")))
    with pytest.raises(FileError, match="found: members of 629145600 bytes unpacked, at most 536870912 are read; the"):
        inspect(path)


def test_a_header_that_admits_to_less_than_there_is(tmp_path: Path) -> None:
    path = bomb(tmp_path / "m.mar", 64 << 20)
    content = path.read_bytes().replace((64 << 20).to_bytes(4, "little"), (1 << 20).to_bytes(4, "little"))
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(FileError, match="found: Bad CRC-32 for file 'zeros'; the file is damaged"):
        inspect(path)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_nothing_bounds(method: int, tmp_path: Path) -> None:
    path = bomb(tmp_path / "m.mar", 1 << 20, method)
    with pytest.raises(FileError, match=rf"found: zeros: compression method {method}, only 0 and 8 are read; the"):
        inspect(path)


@pytest.mark.parametrize("file", ["float.onnx", "float.pt"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_files(exported: Exported, file: str, share: float, tmp_path: Path) -> None:
    content = (exported.folder / file).read_bytes()
    cut = tmp_path / file
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match=rf"^{file}: expected ") as caught:
        inspect(cut)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".onnx", ".pt", ".mar"])
def test_bytes_of_any_other_kind(ending: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(random.bytes(200))
        with pytest.raises(FileError, match=r"expected .*, found"):
            inspect(path)


def test_flipped_bytes_in_a_torchscript_file_are_noticed(exported: Exported, tmp_path: Path) -> None:
    content = bytearray((exported.folder / "float.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(FileError, match=r"m\.pt: expected a TorchScript zip archive, found: Bad CRC-32"):
        inspect(tmp_path / "m.pt")


class Trap:
    """A pickle that would write a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (open, (str(self.path), "w"))


def test_pickles_are_read_and_not_executed(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "executed"), protocol=2)
    code = b"class Net(Module):\n  __parameters__ = []\n"
    path = pack(tmp_path / "m.pt", {"m/data.pkl": trap, "m/code/__torch__/net.py": code})
    assert isinstance(inspect(path), TorchScriptInspection)
    assert not (tmp_path / "executed").exists()


def test_saved_weights_are_no_torchscript(tmp_path: Path) -> None:
    path = pack(tmp_path / "w.pt", {"archive/data.pkl": b"", "archive/data/0": b"1234"})
    with pytest.raises(FileError, match=r"found none among 2 members; weights saved with torch\.save are a pickle"):
        inspect(path)


def test_external_weights_are_counted_without_being_read(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.folder / "float.onnx")
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    (tmp_path / "m.data").unlink()
    inspection = inspect(tmp_path / "m.onnx")
    assert isinstance(inspection, OnnxInspection)
    assert inspection.parameters == 1_630_090


def test_unknown_endings_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"expected a file ending in \.onnx, \.pt, \.mar, found \.bin"):
        inspect(tmp_path / "a.bin")
    with pytest.raises(FileError, match=r"a\.onnx: expected a readable file, found: No such file or directory"):
        inspect(str(tmp_path / "a.onnx"))
