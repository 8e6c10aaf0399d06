"""Where Java finds netty's library without writing a copy of it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pipeline.serving.torchserve.native import native_library_installed


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "x86_64"), ("aarch64", "aarch_64"), ("s390x", "s390x")])
def test_the_library_of_this_processor(
    machine: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    folders = (tmp_path / "none", tmp_path)
    (tmp_path / "libnetty_transport_native_epoll_other.so").touch()
    assert not native_library_installed(folders)
    (tmp_path / f"libnetty_transport_native_epoll_{name}.so").touch()
    assert native_library_installed(folders)
