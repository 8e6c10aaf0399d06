"""What a program reads of a command is the answer alone, whatever user code prints meanwhile and afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A command whose work prints in every way: `work` stands for user code.
PROGRAM = """
import atexit, ctypes, logging, os, sys, warnings
from pathlib import Path
from pipeline import builder, cli
from pipeline.serving import torchserve

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

torchserve.status = work
builder.plan = work
builder.train = lambda *_, **__: work() or Path("weights")
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
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == answer
    assert [text for text in SAID if text not in done.stderr] == []


def test_for_a_person_all_of_it_is_on_the_screen_in_order() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "status"], capture_output=True, text=True, check=True)
    assert "from a child" in done.stdout
    assert "no server is running" in done.stdout


@pytest.mark.parametrize("arguments", [["train", "--help"], ["status", "--json", "--help"]])
def test_help_is_an_answer(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: " in done.stdout
    assert done.stderr == ""
