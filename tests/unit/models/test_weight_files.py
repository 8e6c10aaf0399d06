"""Files that are not weights are recognized before a library opens them, and the message says what to do."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import nn

from pipeline.errors import DataError
from pipeline.models.outside import outside_digests
from pipeline.models.weight_files import weights_kind
from pipeline.models.weights import load_weights
from pipeline.recipe.model import Model

STATE = {"0.weight": torch.ones(4, 3)}


def saved(value: object, **settings: bool) -> bytes:
    content = io.BytesIO()
    torch.save(value, content, **settings)
    return content.getvalue()


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return content.getvalue()


def numpy_bytes(*, several: bool) -> bytes:
    content = io.BytesIO()
    if several:
        np.savez(content, a=np.ones(3))
    else:
        np.save(content, np.ones(3))
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"), io.BytesIO())
    return content.getvalue()


def graph() -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [])
    content: bytes = onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString()
    return content


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign  in</title></head></html>"
KINDS = {
    "pointer": (POINTER, "a Git LFS pointer to 12,345 bytes; fetch the file itself: git lfs pull"),
    "page": (PAGE, "a web page, 'Sign in'; download it again from the address of the file itself"),
    "xml": (b"<?xml version='1.0'?><Error/>", "a web page; download it again"),
    "json": (
        b'{"error": "no such file"}',
        """JSON: '{"error": "no such file"}'; download it again.* has a weight_map""",
    ),
    "list": (b"[1, 2]", r"JSON: '\[1, 2\]'; download it again"),
    "program": (
        b"\x7fELF\x02\x01\x01\x00\x00",
        "bytes of no known kind, which begin with 7f 45 4c 46 02 01 01 00; save",
    ),
    "text": (b"Access denied\n", "text: 'Access denied'; download it again"),
    "empty": (b"", "an empty file; download it again, or copy it anew"),
    "zeros": (bytes(5000), "zeros where a file begins"),
    "cut zip": (saved(STATE)[:-200], "the beginning of a zip archive: .* without the list that ends one; download"),
    "torchscript": (
        zipped("w/data.pkl", "w/code/m.py", "w/constants.pkl"),
        r"a TorchScript archive; of a file that you trust, make w.*safetensors: python -c '.*torch\.jit\.load\(",
    ),
    "torch.export": (zipped("m/models/model.json"), "a program of torch.export; of a file that you trust, make"),
    "npz": (numpy_bytes(several=True), r"NumPy arrays \(\.npz\); save the network's state dict"),
    "npy": (numpy_bytes(several=False), r"one NumPy array \(\.npy\); save the network's state dict"),
    "zip": (zipped("w.pth", "b"), "a zip archive of w.pth, b; unpack it, and name the file of weights inside"),
    "keras": (zipped("config.json", "model.weights.h5"), "a Keras archive; save the network's state dict"),
    "gzip": (gzip.compress(saved(STATE)), "a gzip archive; unpack it"),
    "tar": (tarred(), "a tar archive; unpack it"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras and TensorFlow write; save the network's state"),
    "onnx": (graph(), "a graph, as ONNX or TensorFlow write; save the network's state dict in PyTorch"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite file; save the network's state dict"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_named_with_what_to_do(tmp_path: Path, kind: str, suffix: str) -> None:
    content, text = KINDS[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"/w{suffix}: expected a file of weights .*, found {text}") as caught:
        weights_kind(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pth.tar", ".safetensors", ".onnx", ""])
def test_the_content_decides_and_not_the_name(tmp_path: Path, suffix: str) -> None:
    layer = nn.Linear(3, 4, bias=False)
    path, net = tmp_path / f"w{suffix}", nn.Sequential(layer)
    for content, kind in ((saved(STATE), "torch.save"), (safetensors_bytes(STATE), "safetensors")):
        path.write_bytes(content)
        assert weights_kind(path) == kind
        layer.weight.data.zero_()
        load_weights(path, net)
        assert layer.weight.tolist() == STATE["0.weight"].tolist()


@pytest.mark.parametrize("place", ["data.pkl", "data/0"])
def test_a_zip_that_fills_a_memory_is_not_unpacked(tmp_path: Path, place: str) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"")
        archive.writestr(f"w/{place}x", bytes(2**26 + 1))
    with pytest.raises(
        DataError, match=r"a zip archive of [\d,]{6} bytes that unpacks to 67,108,865, as no weights do"
    ):
        weights_kind(path)


@pytest.mark.parametrize("kept", [60, 100])
def test_a_safetensors_file_that_is_cut_off_says_how_much_is_missing(tmp_path: Path, kept: int) -> None:
    whole, path = safetensors_bytes(STATE), tmp_path / "w.safetensors"
    path.write_bytes(whole[:kept])
    with pytest.raises(DataError, match=rf"found the beginning of a safetensors file: {kept} bytes of \d+; download"):
        outside_digests(Model(factory="nets:build", weights="w.safetensors"), {}, tmp_path)


@pytest.mark.parametrize("older", [True, False])
def test_what_may_hold_weights_passes(tmp_path: Path, older: bool) -> None:
    (tmp_path / "a.pth").write_bytes(saved(STATE, _use_new_zipfile_serialization=not older))
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(STATE))
    assert [weights_kind(tmp_path / name) for name in ("a.pth", "a.safetensors")] == ["torch.save", "safetensors"]


@pytest.mark.parametrize("beginning", [b"\x80\x02", b"\x1f\x8b", b"PK", b"BZ", b"\x08\x07"])
def test_the_length_of_a_safetensors_header_is_taken_for_no_other_kind(tmp_path: Path, beginning: bytes) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    length = int.from_bytes(beginning, "little")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(4))
    assert weights_kind(path) == "safetensors"
    assert load_file(path)["weight"].tolist() == [0.0]
