from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.commands.doctor import (
    Diagnosis,
    check_data,
    check_disk,
    check_port,
    check_python,
    check_temp,
)
from pipeline.data import fashion_mnist_files
from pipeline.data.table import BUILT_IN
from pipeline.engine.probe import MEND_ENVIRONMENT, Check
from pipeline.serving.state import write_state
from tests.noexec import noexec_folders
from tests.server_processes import state_of_this_process


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 4), True), ((3, 13, 0), False)]
)
def test_python_is_held_against_the_supported_range(version: tuple[int, ...], ok: bool) -> None:
    check = check_python(version)
    assert check.ok is ok
    assert check.found == ".".join(map(str, version))
    assert ("expected Python 3.11" in check.remedy) is not ok


def test_a_port_in_use_is_named_with_two_ways_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        check = check_port(port)
    assert (check.ok, check.required, check.found) == (False, True, f"{port} in use")
    assert f":{port}" in check.remedy
    assert "--port" in check.remedy
    assert check_port(port).ok


def test_a_port_that_our_own_server_holds_is_in_the_way_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        write_state(state_of_this_process(tmp_path / "folder", port=port))
        check = check_port(port)
    assert (check.ok, check.required) == (False, True)
    assert check.found == f"{port} held by our own server of tiny 1.0"
    assert check.remedy == f"end it with `pipeline stop --port {port}`, or `pipeline serve --port N` with a free one"


def test_data_that_is_still_to_be_fetched_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path))
    monkeypatch.setattr(fashion_mnist_files, "SYSTEM_FOLDER", tmp_path / "none")
    check = check_data(BUILT_IN["fashion-mnist"])
    assert (check.ok, check.required, check.found) == (False, True, "Fashion-MNIST not fetched yet")
    assert check.remedy.startswith(
        "the build will try the web, then the Debian package dataset-fashion-mnist, and fail if it gets neither; try "
    )
    assert not Diagnosis(checks=(check,)).healthy


def test_too_little_disk_space_says_how_much_is_needed(tmp_path: Path) -> None:
    check = check_disk(tmp_path, 1e9)
    assert not check.ok
    assert check.found.endswith(f"GB free at {tmp_path}")
    assert "1e+09 GB" in check.remedy
    assert check_disk(tmp_path, 0).ok


def test_a_temp_directory_must_exist_and_be_short(tmp_path: Path) -> None:
    missing = check_temp(tmp_path / "missing")
    assert not missing.ok
    assert "No such file or directory" in missing.found
    assert "TMPDIR" in missing.remedy

    long = tmp_path / ("x" * 100)
    long.mkdir()
    check = check_temp(long)
    assert not check.ok
    assert "at most 107 fit" in check.found
    assert "TMPDIR" in check.remedy


def test_a_temp_directory_that_nothing_may_be_run_from_is_a_note() -> None:
    folder = next(iter(noexec_folders()), None)
    if folder is None:
        pytest.skip("no file system here is mounted noexec and can be written to")
    check = check_temp(folder)
    assert (check.ok, check.required) == (False, False)
    assert check.found.startswith(f"{folder}, writable, mounted noexec: ")


def test_the_mismatched_pair_is_named() -> None:
    remedy = doctor.torch_remedy("RuntimeError: operator torchvision::nms does not exist")
    assert "torch and torchvision are of different builds" in remedy
    assert "make set-up" in remedy
    assert doctor.torch_remedy("ModuleNotFoundError: No module named 'torch'") == MEND_ENVIRONMENT


def test_only_required_checks_decide() -> None:
    fine = Check(name="a", ok=True, found="x")
    warning = Check(name="b", ok=False, found="x", remedy="y", required=False)
    broken = Check(name="c", ok=False, found="x", remedy="y")
    assert Diagnosis(checks=(fine, warning)).healthy
    assert not Diagnosis(checks=(fine, broken)).healthy
