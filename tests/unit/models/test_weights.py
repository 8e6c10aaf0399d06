"""Weights in the forms in which people have them, and weights that are refused."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

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
    assert load_weights(path, target) == (), "a wrapper's prefix is no news"
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
    """An object that runs code when it is unpickled."""

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


def test_a_checkpoint_without_tensors_names_the_keys(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best": 0.9}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="found keys that hold no tensor: epoch, best"):
        load_weights(tmp_path / "w.pth", _network(0))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    network = _network(0)
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


class _Versioned(nn.Module):
    """A module like torchvision's MNASNet: it refuses weights of no version, and renames those of the first."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, metadata: Any, *rest: Any) -> None:
        version = metadata.get("version")
        if version not in (1, 2):
            raise ValueError(f"version should be set to 1 or 2 instead of {version}")
        if version == 1:
            state_dict[f"{prefix}weight"] = -state_dict.pop(f"{prefix}kernel")
        super()._load_from_state_dict(state_dict, prefix, metadata, *rest)


def _versioned(value: float, *, version: int | None, prefix: str = "") -> Any:
    inner = f"{prefix}0"
    state: Any = OrderedDict({f"{inner}.{'kernel' if version == 1 else 'weight'}": torch.full((3,), value)})
    if version is not None:
        state._metadata = OrderedDict({prefix.rstrip("."): {"version": 1}, inner: {"version": version}})
    return state


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("version", [1, 2, None])
def test_a_modules_version_travels_with_its_weights(tmp_path: Path, prefix: str, version: int | None) -> None:
    network = nn.Sequential(_Versioned())
    torch.save({"model": _versioned(7, version=version, prefix=prefix)}, tmp_path / "w.pth")
    load_weights(tmp_path / "w.pth", network)
    assert network.state_dict()["0.weight"].tolist() == [-7 if version == 1 else 7] * 3


def test_files_of_our_own_are_of_the_networks_own_version(tmp_path: Path) -> None:
    network = nn.Sequential(_Versioned())
    save_weights(tmp_path / "w.safetensors", network)
    load_weights(tmp_path / "w.safetensors", network)


def test_what_torch_itself_brings_up_to_date_is_taken(tmp_path: Path) -> None:
    """Batch norms from before torch 0.4.1 counted no batches; torch starts the count at zero for them."""
    source, target = _network(0), _network(1)
    state = {key: value for key, value in source.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    load_weights(tmp_path / "w.pth", target)
    assert _same(source, target)


class _Narrower(_Versioned):
    """A module that becomes another network if its weights are of the first version."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("version") == 1:
            self.weight = nn.Parameter(torch.zeros(2))
        nn.Module._load_from_state_dict(self, state_dict, prefix, metadata, *rest)


def test_a_network_that_its_weights_would_change_is_refused(tmp_path: Path) -> None:
    state: Any = OrderedDict({"0.weight": torch.ones(2)})
    state._metadata = OrderedDict({"": {"version": 1}, "0": {"version": 1}})
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"of another shape: 0\.weight \(2,\), expected \(3,\)"):
        load_weights(tmp_path / "w.pth", nn.Sequential(_Narrower()))


def _quantized(value: Tensor) -> Tensor:
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda value: value.to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (lambda value: value.to(torch.complex64), "complex64"),
        (lambda value: value.to(torch.int8), "int8"),
        (_quantized, "qint8"),
        (lambda value: value.to_sparse(), "sparse_coo float32"),
    ],
)
def test_numbers_of_another_kind_are_named(tmp_path: Path, change: Callable[[Tensor], Tensor], found: str) -> None:
    network = _network(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that quantized tensors are deprecated
        torch.save({**network.state_dict(), "2.weight": change(torch.ones(2, 4))}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=rf"found others: 2\.weight \({found}\); save the weights in float"):
        load_weights(tmp_path / "w.pth", network)


def test_tensors_without_numbers_are_named(tmp_path: Path) -> None:
    network = _network(0)
    torch.save(copy.deepcopy(network).to("meta").state_dict(), tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"found tensors without any \(device meta\): 0\.weight"):
        load_weights(tmp_path / "w.pth", network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    source, target = _network(0).to(dtype), _network(1)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    kind = str(dtype).removeprefix("torch.")
    assert load_weights(tmp_path / "w.pth", target) == (f"weights w.pth: 8 tensors of {kind} became float32",)
    assert _same(source.float(), target)


def test_numbers_that_the_networks_own_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    torch.save({**_network(0).state_dict(), "2.bias": torch.full((2,), 1e300, dtype=torch.float64)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"expected finite numbers, found NaN or Inf in 2\.bias"):
        load_weights(tmp_path / "w.pth", _network(1))


def test_a_claimed_shape_fills_no_memory(tmp_path: Path) -> None:
    torch.save({**_network(0).state_dict(), "2.bias": torch.zeros(1).expand(10**13)}, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"of another shape: 2\.bias \(10000000000000,\), expected \(2,\)"):
        load_weights(tmp_path / "w.pth", _network(1))
