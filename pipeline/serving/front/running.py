"""A child of the plan and its process: why it ended, when it may be started again, and whether it hangs."""

from __future__ import annotations

import subprocess
import time
from collections import deque

from pipeline.engine.process import describe_signal
from pipeline.serving.front.plan import REFUSED, Child

# Pause before a child is started again, in seconds. It grows by a factor each time: fast where no worker was ready, for
# such a child fails for a reason that lasts, and slowly where one was. It begins anew after a long life.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONG_LIFE_S = 0.1, 10.0, 60.0
_FAST, _SLOWLY = 2.0, 1.15
# Longest time until a child beats that is started again, in seconds: it loads its model.
_LOADING_S = 600.0
_LAST_WORDS = 20


class Running:
    """A child of the plan, and its process.

    Args:
        child: the child.
        command: its command.

    Attributes:
        process: its process, once it is started.
        was_ready: whether a worker was ready, at some moment since it was started.
        last_words: what it said last, line by line.
    """

    def __init__(self, child: Child, command: list[str]) -> None:
        self.child = child
        self.command = command
        self.process: subprocess.Popen[str] | None = None
        self.was_ready = False
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._began = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._beats = 0
        self._silence_s = 0.0
        self._hangs = False

    def begin(self) -> None:
        """Note that it is being started."""
        self._began, self.was_ready = time.monotonic(), False
        self.last_words.clear()
        self._beats, self._silence_s, self._hangs = 0, 0.0, False

    def reason(self, code: int) -> str:
        """Say why it ended, in one line."""
        words = [line for line in self.last_words if line.strip() and not line[0].isspace()]
        last = words[-1] if words else ""
        if code == REFUSED:
            return f"{self.child.name} refuses to serve: {last or 'it gave no reason'}"
        if self._hangs:
            return f"{self.child.name} gave no sign of life for {self._silence_s:.0f} s, and was killed"
        if code < 0:
            return f"{self.child.name} was ended by {describe_signal(-code)}"
        return f"{self.child.name} ended with code {code}: {last or 'without a word'}"

    def next_pause(self) -> float:
        """Return the pause before it is started again, in seconds."""
        if time.monotonic() - self._began > _LONG_LIFE_S:
            self._pause_s = _FIRST_PAUSE_S
        pause_s = self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, pause_s * (_SLOWLY if self.was_ready else _FAST))
        return pause_s

    def kill_if_silent(self, beats: int, passed_s: float) -> None:
        """Kill the process where it has shown for too long that it does not live.

        Args:
            beats: its beats since it was started; none while it loads.
            passed_s: time since the last call in which the caller was awake itself, in seconds.
        """
        if self.process is None or self.child.silent_s is None or self._hangs:
            return
        if beats != self._beats:
            self._beats, self._silence_s = beats, 0.0
            return
        self._silence_s += passed_s
        if self._silence_s > (self.child.silent_s if beats else _LOADING_S):
            self._hangs = True
            self.process.kill()
