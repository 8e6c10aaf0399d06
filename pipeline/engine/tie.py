"""Ties a program to the process that starts it: `python -I -S tie.py PARENT PIPE GROUP COMMAND...` becomes COMMAND.

It is a program of its own rather than `preexec_fn`, which can deadlock in a process with threads. A killed process runs
no `finally`, so its children have to learn of its end by themselves. There are two ways:

- Linux kills the command when the thread that started it ends (`PR_SET_PDEATHSIG`). It costs nothing, and reaches
  neither the command's own children nor a command that another thread started.
- A watcher reads from a pipe whose other end the starting process alone holds, and kills the command, or its whole
  process group, when that end closes. It works everywhere and costs one small process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

# This number is from <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
# A shell answers with this code for a program that cannot be run.
_CANNOT_RUN = 127


def main(arguments: Sequence[str]) -> int:
    """Become the command.

    Args:
        arguments: id of the process that starts the command; the read end of its pipe, or -1 for Linux's own way; 1
            where the command leads a process group that ends with it, else 0; the command.

    Returns:
        127 where the command cannot be run, with a line on standard error that says why; else it does not return.
    """
    parent, pipe, group, command = int(arguments[0]), int(arguments[1]), arguments[2] == "1", list(arguments[3:])
    if pipe < 0:
        _ask_linux()
        if os.getppid() != parent:  # the parent ended before Linux was asked
            return _CANNOT_RUN
    elif (watched := os.getpid()) and os.fork() == 0:
        _watch(pipe, watched, group=group)
        return 0
    else:
        os.close(pipe)
    try:
        os.execvp(command[0], command)  # noqa: S606 - this is its purpose
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
    return _CANNOT_RUN


def _ask_linux() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _watch(pipe: int, watched: int, *, group: bool) -> None:
    """Wait until the other end is closed, then kill. Nothing else stays open that the starting process may wait for."""
    null_device = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null_device, stream)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(pipe, 1):
        pass
    if group:
        os.killpg(watched, signal.SIGKILL)  # this process is in it too, so the number is still that of this group
    elif os.getppid() == watched:
        os.kill(watched, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
