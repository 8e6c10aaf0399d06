"""What a server's first process runs: a file in the server's private folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

PLAN_FILE, BOARD_FILE, EVENTS_FILE = "plan.json", "board", "events.jsonl"
# Why the server ended by itself, in one line.
REASON_FILE = "reason"
# It is there once somebody told the server to end.
TOLD_FILE = "told-to-end"
# The first process puts the number of the open port in its place in a command.
LISTENER = "{listener}"
# Longest time for what a worker is handed at once, in seconds; one that takes longer hangs, and is ended. Work is begun
# for 30 s at most (`package.deadline_s`), and nothing interrupts a call of the model that is begun.
LONGEST_WORK_S = 60.0
# Exit code of a child that must not serve here: another try would end the same way.
REFUSED = 3
# Exit code of a child that wants all children to be started anew.
ANEW = 4


class Child(BaseModel):
    """A process that is started, and started again where it ends.

    Args:
        name: its name in the log.
        command: the program and its arguments.
        environment: all of its environment.
        rows: rows of the board that speak of it; without it nothing is ready there.
        fresh: folders in the private folder that are made anew before it starts.
        stale: files in the private folder that are removed before it starts.
        console: file in the private folder that gets what it says; without one, that is logged line by line.
        alone: whether every other process of the server that nobody here started is killed before it starts: such
            processes belonged to the one that ended.
        silent_s: longest time without a beat on the first of its rows, in seconds; then it hangs, and is killed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    rows: tuple[int, ...] = ()
    fresh: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    console: str | None = None
    alone: bool = False
    silent_s: float | None = None


class Plan(BaseModel):
    """All that the first process has to know.

    Args:
        host: address that is listened on.
        port: its port.
        drain_s: longest time for requests that are under way when the server is asked to end, in seconds.
        children: what it runs; the first one ends first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int
    drain_s: float
    children: tuple[Child, ...]

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / PLAN_FILE).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read the file."""
        return cls.model_validate_json((folder / PLAN_FILE).read_bytes())
