"""Children of this package end with the process that started them, and their failures quote their last words."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.engine import process
from pipeline.engine.process import failure, finished_child, run_child, running_child

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
# A child that starts one of its own, as the server starts its workers.
NESTED = ["sh", "-c", "sleep 600 & sleep 600"]
TELL = "import os; print(os.environ.get('ORT_DISABLE_TELEMETRY'))"
PARENT = """
import json, sys, threading, time
from pipeline.engine import process
if sys.argv[1] == "elsewhere":
    process.sys.platform = "darwin"
if sys.argv[1] == "thread":
    children = []
    thread = threading.Thread(target=lambda: children.append(process.start_child(json.loads(sys.argv[2]))))
    thread.start()
    thread.join()  # its end is not that of the process
else:
    child = process.start_child(json.loads(sys.argv[2]), own_session=sys.argv[1] == "session")
print("started", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def parent(how: str, command: list[str], *, children: int) -> Iterator[tuple[psutil.Popen, list[psutil.Process]]]:
    """A process that started a command, and its descendants as soon as enough of them run the command."""
    started = psutil.Popen([sys.executable, "-c", PARENT, how, json.dumps(command)], stdout=subprocess.PIPE, text=True)
    descendants: list[psutil.Process] = []
    try:
        assert started.stdout.readline() == "started\n"
        deadline = time.monotonic() + 30
        while len([descendant for descendant in descendants if "-I" not in descendant.cmdline()]) < children:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            descendants = started.children(recursive=True)
        yield started, descendants
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started.kill()
        started.wait()
        started.stdout.close()
        for descendant in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()


@pytest.mark.parametrize(
    ("how", "command", "children"),
    [("main", SLEEPER, 1), ("thread", SLEEPER, 1), ("elsewhere", SLEEPER, 1), ("session", NESTED, 3)],
)
def test_children_end_with_a_killed_process(how: str, command: list[str], children: int) -> None:
    with parent(how, command, children=children) as (started, descendants):
        assert all(descendant.is_running() for descendant in descendants)
        started.kill()
        _, alive = psutil.wait_procs(descendants, timeout=20)
        assert [descendant.cmdline() for descendant in alive] == []


def test_a_child_outlives_the_thread_that_started_it() -> None:
    with parent("thread", SLEEPER, children=1) as (_, found):
        _, alive = psutil.wait_procs(found, timeout=0.3)
        assert set(alive) == set(found)


def test_a_child_that_is_not_tied_lives_on() -> None:
    program = (
        "import sys; from pipeline.engine.process import start_child; "
        f"print(start_child({SLEEPER!r}, tied=False, own_session=True).pid, flush=True)"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    child = psutil.Process(int(result.stdout))
    assert child.is_running()
    child.kill()


def test_what_it_answers_and_how_it_ended(tmp_path: Path) -> None:
    program = (
        "import os, sys; print(os.getcwd(), os.environ['A'], sys.stdin.read()); sys.stderr.write('no'); sys.exit(3)"
    )
    result = run_child([sys.executable, "-c", program], cwd=tmp_path, environment={"A": "b"})
    assert (result.returncode, result.stdout, result.stderr) == (3, f"{tmp_path} b \n", "no")


def test_a_child_that_takes_too_long_is_killed_with_its_own_children() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_child(["sh", "-c", "sleep 600 & sleep 600"], timeout_s=0.2, own_session=True)
    assert psutil.Process().children() == []


def test_a_child_beside_this_process_is_killed_unless_it_was_waited_for() -> None:
    with running_child(SLEEPER, own_session=True) as waiting:
        pass
    assert waiting.returncode == -signal.SIGKILL
    with running_child([sys.executable, "-S", "-c", "print('x' * 1_000_000)"]) as writing:
        result = finished_child(writing)
    assert (result.returncode, len(result.stdout)) == (0, 1_000_001)
    assert psutil.Process().children() == []


def test_a_command_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    result = run_child([str(tmp_path / "none")])
    assert (result.returncode, result.stderr) == (127, f"{tmp_path}/none: No such file or directory\n")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('first\\n  the  last\\n')", "the last"),
        ("import sys; sys.exit(4)", "its process ended with code 4 and without a word"),
        (
            "import os, sys; sys.stderr.write('loading\\n'); sys.stderr.flush(); os.kill(os.getpid(), 9)",
            (
                "its process was ended by signal 9 (SIGKILL: most likely out of memory (`dmesg` tells), or somebody "
                "killed it); its last words: loading"
            ),
        ),
        ("import os; os.kill(os.getpid(), 11)", "its process was ended by signal 11 (SIGSEGV: a library crashed)"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGUSR1)})", "its process was ended by signal 10 (SIGUSR1)"),
    ],
)
def test_an_end_is_told_with_its_reason(program: str, said: str) -> None:
    result = run_child([sys.executable, "-S", "-c", program])
    assert failure(result.returncode, result.stderr) == said


def test_nothing_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        run_child(["true"], own_session=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_every_child_of_this_package_is_started_in_one_place() -> None:
    starts = re.compile(
        r"subprocess\.(?:run|Popen|call|check_\w+)\(|os\.(?:system|popen|spawn\w*|posix_spawn)\(|multiprocessing"
    )
    root = Path(process.__file__).parents[1]
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.py")) if starts.search(path.read_text("utf-8"))]
    assert paths == [Path("engine/process.py")]


@pytest.mark.parametrize("environment", [None, {}, {"ORT_DISABLE_TELEMETRY": "0"}])
def test_no_child_reports_to_a_vendor(environment: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert run_child([sys.executable, "-S", "-c", TELL], environment=environment).stdout == "1\n"
