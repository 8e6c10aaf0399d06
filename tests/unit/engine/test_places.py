"""Folders of the user with and without a home, and the message about a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine.places import no_room, require_folder, require_temp, user_folder
from pipeline.errors import FileError, ProofError
from pipeline.serving.state import state_folder

FULL = os.strerror(errno.ENOSPC)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIPELINE_STATE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_what_the_variable_says_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state_folder() == tmp_path / "home" / ".cache" / "pipeline" / "servers"
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "mine"))
    assert state_folder() == tmp_path / "mine"


def test_a_user_that_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_123)  # `Path.home` asks for it
    assert user_folder("servers", "PIPELINE_STATE") == tmp_path / "pipeline-4000123" / "servers"


@pytest.mark.parametrize("home", ["file", "/dev/null"])
def test_a_home_that_cannot_hold_anything(home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    folder = state_folder()
    assert folder == tmp_path / f"pipeline-{os.getuid()}" / "servers"
    require_folder(folder, "PIPELINE_STATE")
    assert folder.is_dir()
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_in_the_temp_folder_that_leads_elsewhere_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"pipeline-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="expected a folder of your own, found another's; set PIPELINE_STATE"):
        require_folder(tmp_path / f"pipeline-{os.getuid()}" / "servers", "PIPELINE_STATE")


def test_a_folder_that_cannot_be_made_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = f"{tmp_path}/file/state: expected a folder to write to, found: Not a directory; set PIPELINE_STATE to one"
    with pytest.raises(FileError) as raised:
        require_folder(tmp_path / "file" / "state", "PIPELINE_STATE")
    assert str(raised.value) == said


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(FileError, match=r"TMPDIR: expected a folder for temporary files .* set TMPDIR to one"):
        require_temp()


def test_a_full_disk_is_told_with_its_folders(tmp_path: Path) -> None:
    named = OSError(errno.ENOSPC, FULL, str(tmp_path / "weights"))
    said = no_room(named, tmp_path / "run")
    assert said is not None
    assert said.startswith(f"{tmp_path}/weights: {FULL}; ")
    assert f" MB free at {tmp_path}, " in said
    assert f" MB free at {tmp_path}/run" in said
    assert said.endswith("; make room")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        RuntimeError(f"cannot write model.onnx: {FULL}"),
        ProofError("model.onnx cannot be replayed: OSError: [Errno 28] No space left on device"),
    ],
)
def test_whoever_tells_it(error: Exception, tmp_path: Path) -> None:
    said = no_room(error, tmp_path)
    assert said is not None
    assert said.startswith(f"{FULL}; ")


def test_an_error_that_hides_it(tmp_path: Path) -> None:
    hides = ProofError("the archive cannot be made")
    hides.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    said = no_room(hides, tmp_path)
    assert said is not None
    assert said.startswith("Disk quota exceeded; ")


def test_the_working_directory_is_named_where_no_other_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert f" MB free at {gone}, " in str(no_room(OSError(errno.ENOSPC, FULL)))
    gone.rmdir()
    assert "; make room" in str(no_room(OSError(errno.ENOSPC, FULL)))


def test_other_errors_are_none_of_its_business(tmp_path: Path) -> None:
    for error in (OSError(errno.EACCES, "no"), ValueError("28"), RuntimeError("file write failed")):
        assert no_room(error, tmp_path) is None


def test_a_file_that_is_written_whole_or_not_at_all_is_named(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pipeline.engine.manifest import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: write_atomically(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error: print(error.filename)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "table.json")]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout == f"{tmp_path}/table.json\n"
    assert list(tmp_path.iterdir()) == []
