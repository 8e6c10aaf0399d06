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

from pipeline.errors import DataError
from pipeline.models.outside import outside_digests
from pipeline.models.weight_files import check_weights_file
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
    "json": (b'{"error": "no such file"}', """JSON: '{"error": "no such file"}'; download it again"""),
    "text": (b"Access denied\n", "text: 'Access denied'; download it again"),
    "empty": (b"", "an empty file; download it again, or copy it anew"),
    "zeros": (bytes(5000), "zeros where a file begins"),
    "cut zip": (saved(STATE)[:-200], "the beginning of a zip archive: .* without the list that ends one; download"),
    "torchscript": (
        zipped("w/data.pkl", "w/code/m.py", "w/constants.pkl"),
        r"a TorchScript archive; load it with torch\.jit and save its weights alone: torch\.save\(module",
    ),
    "torch.export": (zipped("m/models/model.json"), "a program of torch.export; save its weights alone"),
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


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_named_with_what_to_do(tmp_path: Path, kind: str, suffix: str) -> None:
    content, text = KINDS[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"w\{suffix}: expected a .*file.*, found {text}") as caught:
        check_weights_file(path)
    assert "\n" not in str(caught.value)


def test_an_ending_of_the_other_kind_is_to_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(saved(STATE))
    (tmp_path / "b.pth").write_bytes(safetensors_bytes(STATE))
    (tmp_path / "c.ckpt").write_bytes(saved(STATE))
    (tmp_path / "d.bin").write_bytes(POINTER)
    for name, text in {
        "a.safetensors": r"expected a safetensors file, found a file of torch\.save; rename it to end in \.pth",
        "b.pth": r"expected a file of torch\.save, found a safetensors file; rename it to end in \.safetensors",
        "c.ckpt": r"found \.ckpt, a file of torch\.save; rename it to end in \.pth",
        "d.bin": r"found \.bin, a Git LFS pointer to 12,345 bytes; fetch the file itself",
    }.items():
        with pytest.raises(DataError, match=text):
            check_weights_file(tmp_path / name)


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
    for path in tmp_path.iterdir():
        assert check_weights_file(path) == path


@pytest.mark.parametrize("beginning", [b"\x80\x02", b"\x1f\x8b", b"PK", b"BZ", b"\x08\x07"])
def test_the_length_of_a_safetensors_header_is_taken_for_no_other_kind(tmp_path: Path, beginning: bytes) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    length = int.from_bytes(beginning, "little")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(4))
    assert check_weights_file(path) == path
    assert load_file(path)["weight"].tolist() == [0.0]
