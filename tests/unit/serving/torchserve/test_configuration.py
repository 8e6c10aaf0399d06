"""Where a server's private folder lies, and what its environment holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.serving.torchserve.configuration import environment, private_folder
from pipeline.serving.torchserve.java import Java
from tests.noexec import noexec_folders


def test_it_lies_in_the_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp", f"p{os.getpid()}")  # noqa: S108 - pytest's own folder may be too long for a socket
    short.mkdir()
    try:
        monkeypatch.setattr("tempfile.tempdir", str(short))
        folder = private_folder("pipeline-ts-")
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
    private = private_folder("pipeline-ts-")
    assert not private.is_relative_to(folder)
    assert private.stat().st_mode & 0o777 == 0o700
    private.rmdir()


@pytest.mark.parametrize(
    "name",
    [
        "TS_CONFIG_FILE",
        "PYTHONPATH",
        "PIPELINE_ACCEPT_HOST",
        "TMPDIR",
        "OMP_NUM_THREADS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
    ],
)
def test_what_steers_a_server_cannot_be_passed_to_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "elsewhere")
    java = Java(executable=tmp_path, home=tmp_path, version=21, source="here")
    inherited = environment(tmp_path, java, threads=1, accept_host=False)
    assert inherited.get(name) != "elsewhere"
    with pytest.raises(
        UsageError,
        match=f"^--pass-env {name}: expected a variable for the handler's own code, found one of the server",
    ):
        environment(tmp_path, java, threads=1, accept_host=False, passed=[name])
