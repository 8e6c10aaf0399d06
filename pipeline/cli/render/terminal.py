"""Draws how far a command is, on standard error: in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, assert_never

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from pipeline.cli.render.plain_console import plain_console
from pipeline.engine.stage import Status
from pipeline.visible import visible

# Number of lines of repeated work that stand below the bars.
_STEPS = 3
_BAR = 12
_PER_SECOND = 4


@dataclass(kw_only=True)
class _Task:
    """A bar, with the times at which it began and last moved, in seconds."""

    started: float
    first: int
    completed: int = 0
    total: int = 1
    detail: str = ""
    moved: float = 0.0

    def left_s(self, now: float) -> float | None:
        """Seconds that the rest takes at the pace so far; None before the first step."""
        done = self.completed - self.first
        if done <= 0:
            return None
        rest = (self.moved - self.started) * (self.total - self.completed) / done
        return max(0.0, rest - (now - self.moved))


@dataclass(kw_only=True)
class Standing:
    """Where a command is: stages, the candidate at work, the best so far, bars, and what was done last.

    Args:
        clock: tells the time, in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    names: tuple[str, ...] = ()
    begun: list[float] = field(default_factory=list)
    candidate: tuple[str, float] | None = None
    best: str = ""
    tasks: dict[str, _Task] = field(default_factory=dict)
    steps: deque[str] = field(default_factory=lambda: deque(maxlen=_STEPS))

    def stage(self, names: Sequence[str], place: int) -> None:
        """Note that a stage begins; `place` is the number of stages when all are done."""
        if place == 0:
            self.names, self.begun = tuple(names), []
        self.begun.append(self.clock())
        self.candidate, self.best = None, ""
        self.steps.clear()

    def status(self, status: Status, text: str) -> None:
        """Note a text in the place of the last one with that status."""
        match status:
            case "step":
                self.steps.append(text)
            case "candidate":
                self.candidate = (text, self.clock()) if text else None
            case "best":
                self.best = text
            case other:
                assert_never(other)

    def progress(self, task: str, completed: int, total: int, detail: str) -> None:
        """Move a bar; it goes away when the task is complete."""
        if completed >= total:
            self.tasks.pop(task, None)
            return
        now = self.clock()
        bar = self.tasks.setdefault(task, _Task(started=now, first=completed))
        bar.completed, bar.total, bar.detail, bar.moved = completed, total, detail, now

    def draw(self) -> RenderableType:
        """Draw it; no line is wider than the terminal."""
        now = self.clock()
        parts: list[RenderableType] = []
        if self.names:
            parts.append(self._stages(now))
        if self.candidate is not None:
            name, since = self.candidate
            parts.append(_line("candidate  ", f"{name}, {_clock_time(now - since)}"))
        if self.best:
            parts.append(_line("best so far  ", self.best))
        # They are copied first: another thread draws.
        if tasks := list(self.tasks.items()):
            parts.append(_Bars(tasks=tasks, now=now))
        parts += [_line("", step) for step in list(self.steps)]
        return _Frame(parts=parts)

    def _stages(self, now: float) -> Text:
        line = Text(no_wrap=False, overflow="fold")
        begun = list(self.begun)
        for place, name in enumerate(self.names):
            line.append(" · " if place else "", style="dim")
            if place >= len(begun):
                line.append(name, style="dim")
                continue
            last = place == len(begun) - 1
            seconds = (now if last else begun[place + 1]) - begun[place]
            line.append(f"{name} {_clock_time(seconds)}", style="bold" if last else "green")
        return line


def _line(label: str, text: str) -> Text:
    """A line that is cut off where the terminal ends."""
    line = Text(no_wrap=True, overflow="ellipsis")
    return line.append(label, style="dim").append(visible(text), style=None if label else "dim")


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What is drawn anew: a terminal shows a key such as Ctrl-C behind it, where a full line would break then."""

    parts: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - len("^C") - 1))
        yield from console.render(Group(*self.parts), narrower)


@dataclass(frozen=True, kw_only=True)
class _Bars:
    """A line for each bar; in a narrow terminal the figures are cut off rather than the times."""

    tasks: Sequence[tuple[str, _Task]]
    now: float

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        for name, task in self.tasks:
            left = task.left_s(self.now)
            times = f" {_clock_time(self.now - task.started)}{'' if left is None else f', {_clock_time(left)} left'}"
            filled = _BAR * task.completed // task.total
            head = Text(f"{visible(name)}  ").append("━" * filled, style="green")
            head.append("╌" * (_BAR - filled), style="dim")
            head.append(f" {task.completed}/{task.total} {visible(task.detail)}")
            room = max(0, options.max_width - len(times))
            head.truncate(room, overflow="ellipsis", pad=True)
            yield head.append(times)


def _clock_time(seconds: float) -> str:
    """Write a time, such as 0:01:20."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Terminal:
    """Draws what stages report: in place on a terminal, where lines of repeated work give way to the next."""

    def __init__(self) -> None:
        self._console = plain_console(stderr=True)
        self._standing = Standing()
        # One that cannot move its cursor is written to like a file.
        self._in_place = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(
            get_renderable=self._standing.draw,
            console=self._console,
            transient=True,
            refresh_per_second=_PER_SECOND,
        )

    def __enter__(self) -> Self:
        if self._in_place:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def log(self, message: str) -> None:
        """Print one finished line."""
        self._console.print(visible(message), soft_wrap=True)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Move a bar; it goes away when the task is complete."""
        self._standing.progress(task, completed, total, detail)

    def stage(self, names: Sequence[str], place: int) -> None:
        """Show which of the stages begins."""
        self._standing.stage(names, place)

    def status(self, status: Status, text: str) -> None:
        """Show where a build stands."""
        if self._in_place:
            self._standing.status(status, text)
        elif status == "step":
            self.log(text)
