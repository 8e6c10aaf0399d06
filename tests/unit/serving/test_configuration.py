"""Where a server's private folder lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.serving.configuration import private_folder


def noexec_folders() -> list[Path]:
    """Folders of this machine that can be written to and lie on a file system mounted noexec."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    folders = [Path(mount[1]) for mount in mounts if "noexec" in mount[3].split(",") and mount[2] == "tmpfs"]
    return [folder for folder in folders if os.access(folder, os.W_OK | os.X_OK)]


def test_it_lies_in_the_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp", f"p{os.getpid()}")  # noqa: S108 - pytest's own folder may be too long for a socket
    short.mkdir()
    try:
        monkeypatch.setattr("tempfile.tempdir", str(short))
        folder = private_folder()
        assert folder.parent == short
        folder.rmdir()
    finally:
        short.rmdir()


@pytest.mark.parametrize("case", ["too long", "gone", "noexec"])
def test_it_lies_elsewhere_where_a_server_could_not_work_in_that(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    if case == "too long":
        folder = tmp_path / ("n" * 80)
        folder.mkdir()
    if case == "noexec":
        folder = next(iter(noexec_folders()), folder)
        if folder.name == "none":
            pytest.skip("no file system here is mounted noexec and can be written to")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    private = private_folder()
    assert not private.is_relative_to(folder)
    assert private.stat().st_mode & 0o777 == 0o700
    private.rmdir()
