"""A real pseudo-terminal: a command runs in it, and what somebody sees there at its end is text."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
_AGAIN_S = 20
# Python loses a Ctrl-C that comes between a prompt and the reading. Nobody presses it so soon after the prompt.
_REACTION_S = 0.3
# Ctrl-D, the end of the input.
END = "\x04"
_SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\]8;[^\x1b]*\x1b\\")


@dataclass(kw_only=True)
class Screen:
    """A terminal of a width, without an end at the bottom: all lines that were ever shown and not taken back."""

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    cursor_shown: bool = True

    def write(self, text: str) -> None:
        """Show text with the sequences that rich and readline use.

        Raises:
            ValueError: it holds another sequence.
        """
        place = 0
        while place < len(text):
            if found := _SEQUENCE.match(text, place):
                self._obey(found[1] or "", found[2] or "m")
                place = found.end()
                continue
            self._put(text[place])
            place += 1

    def _obey(self, numbers: str, command: str) -> None:
        match command:
            case "m":
                return
            case "A":
                self.row = max(0, self.row - int(numbers or 1))
            case "K":
                kept = {"2": "", "": self.lines[self.row][: self.column], "0": self.lines[self.row][: self.column]}
                self.lines[self.row] = kept[numbers]
            case "h" | "l" if numbers in ("?25", "?2004"):
                self.cursor_shown = command == "h" if numbers == "?25" else self.cursor_shown
            case _:
                raise ValueError(f"expected a sequence of rich's, found {numbers}{command}")

    def _put(self, character: str) -> None:
        match character:
            case "\r":
                self.column = 0
            case "\n":
                self._down()
            case "\a":
                pass
            case _:
                if self.column == self.columns:
                    self.column = 0
                    self._down()
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
                self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    @property
    def text(self) -> str:
        """What is seen, without empty ends of lines."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a command ended in a terminal.

    Args:
        code: its exit code.
        raw: all that it wrote.
        screen: what is seen at its end.
    """

    code: int
    raw: str
    screen: Screen


def run_in_terminal(
    arguments: Sequence[str],
    *,
    cwd: Path,
    columns: int = 100,
    rows: int = 40,
    environment: Mapping[str, str] | None = None,
    answers: Sequence[tuple[str, str]] = (),
    interrupt_at: Callable[[str], bool] = lambda _raw: False,
    timeout_s: float = 300,
) -> Seen:
    """Run `pipeline` in a pseudo-terminal.

    Args:
        arguments: arguments of the command line.
        cwd: working directory.
        columns: width of the terminal.
        rows: height of the terminal.
        environment: variables beside those of this process.
        answers: pairs of a text to wait for and what is typed when it stands there, in order.
        interrupt_at: function that says, of all that was written so far, whether Ctrl-C is pressed now; once.
        timeout_s: longest time, in seconds.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=cwd,
        env={**variables, "TERM": "xterm-256color", "PYTHONPATH": str(CHECKOUT), **(environment or {})},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - a terminal needs its session
    )
    os.close(follower)
    raw, waiting, pressed, seen_to = "", list(answers), 0.0, 0
    deadline = time.monotonic() + timeout_s
    content = b""
    try:
        while time.monotonic() < deadline:
            if not select.select([leader], [], [], 1)[0]:
                # A machine may be too busy for that: a person presses it again.
                if pressed and time.monotonic() > pressed + _AGAIN_S:
                    pressed = time.monotonic()
                    os.write(leader, b"\x03")
                continue
            try:
                piece = os.read(leader, 1 << 16)
            except OSError:  # the last process that wrote there has ended
                break
            if not piece:
                break
            content += piece
            raw = content.decode(errors="replace")
            if waiting and waiting[0][0] in raw[seen_to:]:
                seen_to = len(raw)
                typed = waiting.pop(0)[1]
                os.write(leader, typed.encode() if typed == END else f"{typed}\n".encode())
            if not pressed and interrupt_at(raw):
                time.sleep(_REACTION_S)
                pressed = time.monotonic()
                os.write(leader, b"\x03")
        code = process.wait(timeout=max(1.0, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(leader)
    screen = Screen(columns=columns)
    screen.write(raw)
    assert not waiting, f"never asked for {waiting[0][0]!r}\n{screen.text}"
    return Seen(code=code, raw=raw, screen=screen)
