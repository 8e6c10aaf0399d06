"""Weights as people have them, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.errors import DataError
from pipeline.models.weights import load_weights, save_weights


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def _same(left: nn.Module, right: nn.Module) -> bool:
    there = right.state_dict()
    return all(torch.equal(value, there[key]) for key, value in left.state_dict().items())


def test_safetensors_there_and_back_is_bitwise_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    source, target = _network(0), _network(1)
    save_weights(tmp_path / "a.safetensors", source)
    save_weights(tmp_path / "b.safetensors", source)
    load_weights(tmp_path / "a.safetensors", target)
    assert _same(source, target)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_shared_and_channels_last_weights_are_saved(tmp_path: Path) -> None:
    shared = nn.Linear(4, 4, bias=False)
    network = nn.Sequential(shared, shared, nn.Conv2d(2, 2, 3))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(tmp_path / "w.safetensors", network)
    again = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Conv2d(2, 2, 3))
    load_weights(tmp_path / "w.safetensors", again)
    assert _same(network, again)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_state_dicts_as_people_have_them(tmp_path: Path, suffix: str, wrapper: str | None, prefix: str) -> None:
    source, target = _network(0), _network(1)
    state: dict[str, Any] = {f"{prefix}{key}": value for key, value in source.state_dict().items()}
    path = tmp_path / f"w{suffix}"
    torch.save({wrapper: state, "epoch": 7} if wrapper else state, path)
    load_weights(path, target)
    assert _same(source, target)


def test_missing_unexpected_and_misshapen_keys_are_listed(tmp_path: Path) -> None:
    state = dict(_network(0).state_dict())
    del state["0.bias"]
    state["3.weight"] = torch.zeros(1)
    state["2.weight"] = torch.zeros(5, 4)
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    network = _network(1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_weights(path, network)
    text = str(caught.value)
    assert "expected the 9 tensors of Sequential" in text
    assert "missing 0.bias; unexpected 3.weight; of another shape: 2.weight (5, 4), expected (2, 4)" in text
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class _Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_weights_file_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "w.pth", tmp_path / "ran"
    if zipped:
        torch.save({"0.weight": _Planted(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"0.weight": _Planted(mark)}))
    with pytest.raises(DataError, match=r"weights .*w\.pth: expected"):
        load_weights(path, _network(0))
    assert not mark.exists()


def test_a_whole_saved_module_is_refused(tmp_path: Path) -> None:
    torch.save(_network(0), tmp_path / "w.pth")
    with pytest.raises(DataError, match="only code run from the file could restore, which is refused"):
        load_weights(tmp_path / "w.pth", _network(0))


def test_a_checkpoint_without_tensors_names_the_keys(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best": 0.9}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="found keys that hold no tensor: epoch, best"):
        load_weights(tmp_path / "w.pth", _network(0))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    network = _network(0)
    with pytest.raises(DataError, match=r"expected a file ending in \.safetensors, \.pt, \.pth, found \.onnx"):
        load_weights(tmp_path / "w.onnx", network)
    with pytest.raises(DataError, match="expected a file, found none"):
        load_weights(tmp_path / "w.pth", network)
    for suffix in (".safetensors", ".pth"):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(b"PK\x03\x04 not much")
        with pytest.raises(DataError, match=r"weights .*cut"):
            load_weights(path, network)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = _network(0)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    state["2.bias"][0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"expected finite numbers, found NaN or Inf in 2\.bias"):
        load_weights(tmp_path / "w.safetensors", network)
