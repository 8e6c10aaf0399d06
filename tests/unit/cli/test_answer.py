"""What a program reads of a command is the answer alone, whatever user code prints meanwhile and afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cli.answer import say

# A command whose work prints in every way: `work` stands for user code.
PROGRAM = """
import atexit, ctypes, logging, os, sys, warnings
from pathlib import Path
from types import SimpleNamespace
from pipeline import cli
from pipeline.commands import build as builder, train as trainer
from pipeline.serving import lifecycle

def work(*_, **__):
    print("from Python")
    sys.__stdout__.write("by its first name")
    os.write(1, b"from a descriptor\\n")
    os.system("echo from a child")
    ctypes.CDLL(None).puts(b"from C")
    logging.getLogger("user").addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("user").error("from a logger")
    atexit.register(print, "at the end")
    return []

lifecycle.status = work
builder.plan = work
trainer.train = lambda *_, **__: work() or SimpleNamespace(weights=Path("weights"))
cli.main()
"""
SAID = (
    *("from Python", "by its first name", "from a descriptor", "from a child", "from C", "from a logger"),
    "at the end",
)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["status", "--json"], "[]\n"),
        (["build", "--plan", "--json"], "[]\n"),
        (["--debug", "build", "--json", "--plan"], "[]\n"),
        (["train"], "weights\n"),
    ],
)
def test_only_the_answer_is_on_standard_output(arguments: list[str], answer: str) -> None:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout == answer
    assert [text for text in SAID if text not in process.stderr] == []


def test_for_a_person_all_of_it_is_on_the_screen_in_order() -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM, "status"], capture_output=True, text=True, check=True)
    assert "from a child" in process.stdout
    assert "no server is running" in process.stdout


@pytest.mark.parametrize("arguments", [["train", "--help"], ["status", "--json", "--help"]])
def test_help_is_an_answer(arguments: list[str]) -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: " in process.stdout
    assert process.stderr == ""


def test_no_text_of_a_stranger_steers_the_terminal(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    evil = "a\x1b[2J\u202e\nerror: b"
    for arguments in (
        ["inspect", f"{evil}.onnx"],
        ["build", "--set", f"data.{evil}=1", "--plan"],
        [evil],
        ["serve", "--digest", evil, str(tmp_path / "none.mar")],
        ["--debug", "inspect", f"{evil}.onnx"],
    ):
        assert cli._run(arguments) in (2, 3)
        captured = capfd.readouterr()
        lines = (captured.out + captured.err).removesuffix("\n").split("\n")
        assert all(line.isprintable() for line in lines)
        assert len(lines) == 1 or "--debug" in arguments
        assert lines[-1].startswith("error: ")
        assert r"a\x1b[2J\u202e" in lines[-1]


def test_lines_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    say("label \x1b[31m", "two\nlines")
    say("on standard error\x07", error=True)
    assert capsys.readouterr() == ("label \\x1b[31m\ntwo\\nlines\n", "on standard error\\x07\n")
