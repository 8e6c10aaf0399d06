"""A confined process writes nothing outside its folders, in no thread and by no child."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.engine.confine import can_confine, confined_command

pytestmark = pytest.mark.skipif(not can_confine(), reason="this system has no Landlock")

# This folder's name has colons, at which a path list would be cut.
INSIDE = "inside:19:20"
# A module that tries what it should not do, and prints what it could do.
TRIES = """
import mmap, os, resource, socket, sys, threading
from pathlib import Path

outside, inside = Path(sys.argv[1]), Path(os.environ["TMPDIR"])
(outside / "mine").stat()
done = []

def attempt(name, action):
    try:
        action()
        done.append(name)
    except OSError:
        pass

def in_a_thread():
    thread = threading.Thread(target=lambda: attempt("thread", lambda: (outside / "thread").write_text("x")))
    thread.start()
    thread.join()

attempt("inside", lambda: (inside / "a").write_text("x"))
attempt("inside folder", lambda: (inside / "folder").mkdir())
attempt("null", lambda: Path("/dev/null").write_text("x"))
attempt("read", lambda: (outside / "mine").read_text())
attempt("write", lambda: (outside / "new").write_text("x"))
attempt("overwrite", lambda: (outside / "mine").write_text("x"))
attempt("truncate", lambda: os.truncate(outside / "mine", 0))
attempt("remove", lambda: (outside / "mine").unlink())
attempt("rename", lambda: (outside / "mine").rename(outside / "yours"))
attempt("link", lambda: (outside / "link").symlink_to("mine"))
attempt("folder", lambda: (outside / "folder").mkdir())
attempt("connect", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2]))))
attempt("signal", lambda: os.kill(os.getppid(), 0))
attempt("child", lambda: os.system(f"echo x 2>/dev/null >{outside / 'child'}") == 0 or (_ for _ in ()).throw(OSError()))
in_a_thread()
free = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable:"))
limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
if limit == resource.RLIM_INFINITY or limit > free * 1024:
    done.append("memory")
print(*done, sep=",")
"""


def tried(tmp_path: Path, *, confined: bool) -> set[str]:
    import socket

    for name in ("outside", INSIDE, "modules"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "mine").write_text("kept")
    (tmp_path / "modules" / "tries.py").write_text(TRIES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(tmp_path / "outside"), str(server.getsockname()[1])]
        command = confined_command("tries", *arguments, writable=[tmp_path / INSIDE])
        if not confined:
            command = [*command[:3], "tries", *arguments]
        environment = {
            "PYTHONPATH": f"{Path(__file__).resolve().parents[3]}:{tmp_path / 'modules'}",
            "TMPDIR": str(tmp_path / INSIDE),
        }
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.strip().split(","))


def test_a_confined_process(tmp_path: Path) -> None:
    assert tried(tmp_path, confined=True) == {"inside", "inside folder", "null", "read"}
    assert (tmp_path / "outside" / "mine").read_text() == "kept"
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["mine"]


def test_the_probe_would_notice(tmp_path: Path) -> None:
    assert {"write", "overwrite", "connect", "signal", "child", "thread", "memory"} <= tried(tmp_path, confined=False)
