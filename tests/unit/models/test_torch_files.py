"""What lies beside the tensors in a file is left out or named, and never run."""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import random
import shlex
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.errors import DataError
from pipeline.models.torch_files import read_file

STATE = {"0.weight": torch.ones(2, 3)}
HARMLESS: dict[str, object] = {
    "namespace": argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1)),
    "float64": np.float64(0.93),
    "float32": np.float32(0.5),
    "int64": np.int64(3),
    "bool": np.bool_(1),
    "complex": np.complex64(1j),
    "text": np.str_("best"),
    "date": np.datetime64("2026-01-01"),
    "dtype": np.dtype("float32"),
    "array": np.arange(6.0).reshape(2, 3),
    "random state": np.random.default_rng(0).bit_generator.state,
    "old random state": np.random.RandomState(0).get_state(),
    "python's random state": random.getstate(),
    "path": Path("runs") / "best.ckpt",
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "duration": timedelta(seconds=3),
    "defaultdict": defaultdict(list, {"a": [1]}),
    "bytes": b"abc",
    "set": {1, 2},
    "torch's version": torch.__version__,
    "types": [int, float, str, dict],
}


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_objects_are_left_out(tmp_path: Path, name: str, zipped: bool) -> None:
    document = {"state_dict": STATE, "beside": HARMLESS[name]}
    torch.save(document, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_file(tmp_path / "w.ckpt")["state_dict"]["0.weight"], STATE["0.weight"])


def test_nothing_of_numpys_or_of_the_standard_library_is_made(tmp_path: Path) -> None:
    beside = {key: value for key, value in HARMLESS.items() if key in ("namespace", "float64", "array", "path", "time")}
    torch.save({"state_dict": STATE, **beside}, tmp_path / "w.ckpt")
    document = read_file(tmp_path / "w.ckpt")
    assert {type(document[key]).__module__ for key in beside} == {"pipeline.models.torch_files"}
    assert all(vars(document[key]) == {} for key in beside)


def test_settings_of_omegaconf_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types of the same names, for OmegaConf is no dependency."""
    types: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "omegaconf", ModuleType("omegaconf"))
    for place, name in (("dictconfig", "DictConfig"), ("base", "ContainerMetadata"), ("nodes", "AnyNode")):
        module = ModuleType(f"omegaconf.{place}")
        types[name] = type(name, (), {"__module__": module.__name__})
        setattr(module, name, types[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)
    settings, node = types["DictConfig"](), types["AnyNode"]()
    vars(node).update(_val=0.1, _metadata=types["ContainerMetadata"]())
    vars(settings).update(_content={"lr": node}, _metadata=types["ContainerMetadata"](), _type=Any)
    torch.save({"state_dict": STATE, "hyper_parameters": settings, "type": type(settings)}, tmp_path / "w.ckpt")
    monkeypatch.undo()
    assert read_file(tmp_path / "w.ckpt")["state_dict"].keys() == STATE.keys()


def test_what_a_user_allows_process_wide_stays_allowed_and_nothing_else_is(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=0.1), "at": Path("a")}, tmp_path / "w.ckpt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        allowed = set(torch.serialization.get_safe_globals())
        assert read_file(tmp_path / "w.ckpt")["state_dict"].keys() == STATE.keys()
        assert set(torch.serialization.get_safe_globals()) == allowed
        with pytest.raises(pickle.UnpicklingError, match="PosixPath"):
            torch.load(tmp_path / "w.ckpt", weights_only=True)


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the pickle in a file of torch.save."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, change(content) if name.endswith("/data.pkl") else content)


def test_files_of_numpy_1_name_its_numbers_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"model": STATE, "best": np.float64(0.9), "array": np.ones(3)}, path)
    rewritten(path, lambda content: content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_file(path)["model"].keys() == STATE.keys()


class Own:
    """A class of the user's."""


class Planted:
    """An object that runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.call, (["touch", str(self.mark)],)


def _function() -> None: ...


REFUSED: dict[str, tuple[object, str]] = {
    "own": (Own(), r"objects of [\w.]*test_torch_files\.Own "),
    "type": (nn.ReLU, r"objects of torch\.nn\.modules\.activation\.ReLU "),
    "function": (_function, r"objects of [\w.]*test_torch_files\._function "),
    "module": (nn.ReLU(), r"a whole module \(torch\.nn\.modules\.activation\.ReLU\) "),
    "objects": (np.array([1, "a"], dtype=object), r"objects of numpy\.dtype\('O8'\) "),
    "records": (np.zeros(2, dtype=[("a", "O")]), r"objects of numpy\.dtype\('V8'\) "),
    "several": ([Own(), nn.ReLU], r"objects of [\w.]*Own, torch\.nn\.modules\.activation\.ReLU "),
    "builtin": (getattr, r"objects of builtins\.getattr "),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("zipped", [True, False])
def test_others_are_named_with_what_to_do(tmp_path: Path, name: str, zipped: bool) -> None:
    value, text = REFUSED[name]
    torch.save({"state_dict": STATE, "beside": value}, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=rf"found {text}that only code run from the file could restore") as caught:
        read_file(tmp_path / "w.ckpt")
    place = '["state_dict"].state_dict()' if name == "module" else '["state_dict"];'
    assert f'torch.load("{tmp_path}/w.ckpt", map_location="cpu", weights_only=False){place}' in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["zip", "older", "protocol 2", "protocol 4"])
def test_code_does_not_run(tmp_path: Path, form: str) -> None:
    path, mark = tmp_path / "w.pth", tmp_path / "ran"
    document = {"state_dict": STATE, "beside": Planted(mark)}
    if form in ("zip", "older"):
        torch.save(document, path, _use_new_zipfile_serialization=form == "zip")
    else:
        path.write_bytes(pickle.dumps(document, protocol=int(form[-1])))
    with pytest.raises(DataError, match=r"subprocess\.call.* refused; no trainer saves subprocess\.call: do not load"):
        read_file(path)
    assert not mark.exists()


def test_the_command_makes_safetensors_of_numpys_arrays_too(tmp_path: Path) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"model": {"0.weight": np.ones((2, 3), dtype=np.float32)}}))
    with pytest.raises(DataError, match=r"make w\.safetensors, where its classes can be imported: python -c") as caught:
        read_file(path)
    exec(shlex.split(str(caught.value).partition("python -c ")[2])[0], {})  # noqa: S102 - the message's own words
    assert torch.equal(read_file(tmp_path / "w.safetensors")["0.weight"], STATE["0.weight"])


def test_pickles_that_torch_did_not_write_and_newer_protocols_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(STATE))
    with pytest.raises(DataError, match=r"found a pickle that torch\.save did not write, .*pickle.*\.loads\("):
        read_file(path)
    torch.save(STATE, path, pickle_protocol=4)
    with pytest.raises(DataError, match=r"found a pickle of protocol 4 that only code"):
        read_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, zipped: bool) -> None:
    path, content = tmp_path / "w.pth", io.BytesIO()
    torch.save(
        {"state_dict": OrderedDict(STATE), "args": argparse.Namespace()}, content, _use_new_zipfile_serialization=zipped
    )
    whole = content.getvalue()
    for kept in range(1, len(whole) - 1, 29):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"weights .*w\.pth: expected") as caught:
            read_file(path)
        assert "\n" not in str(caught.value)


def test_a_damaged_pickle_is_no_code(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, tmp_path / "w.pth")
    rewritten(tmp_path / "w.pth", lambda content: content[:2] + b"\xff" + content[2:])
    with pytest.raises(
        DataError, match=r"whole torch\.save file, found one whose pickle is damaged; download or save it"
    ):
        read_file(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_is_refused_or_without_effect_and_raises_nothing_else(tmp_path: Path, zipped: bool) -> None:
    path, content = tmp_path / "w.pth", io.BytesIO()
    document = {
        "state_dict": OrderedDict(STATE),
        "args": argparse.Namespace(a=1),
        "best": np.float64(1),
        "a": np.ones(2),
    }
    torch.save(document, content, _use_new_zipfile_serialization=zipped)
    draw = random.Random(0)
    for _ in range(60):
        damaged = bytearray(content.getvalue())
        if zipped:
            path.write_bytes(damaged)

            def change(pickled: bytes) -> bytes:
                changed = bytearray(pickled)
                changed[draw.randrange(len(changed))] = draw.randrange(256)
                return bytes(changed)

            rewritten(path, change)
        else:
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(DataError):
                read_file(path)
