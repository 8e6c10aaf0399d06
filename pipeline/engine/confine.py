"""Runs a module of this package where it can neither write files nor open connections.

The command is `python -m pipeline.engine.confine`.

The author of a model file decides what is computed when the file is loaded and run. The process that loads it
therefore asks Linux (Landlock, from 5.13 on) to refuse all writing outside the named folders, and, where the kernel
can, TCP connections, signals to other processes and abstract sockets. It asks before anything is imported: a thread
that was started earlier would stay free. Reading is not restricted.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.engine.process import module_command

# These numbers are from <linux/landlock.h>, <linux/prctl.h> and the table of system calls. They are the same on every
# machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH, _PR_SET_NO_NEW_PRIVS = 1, 1, 38
_WRITE_FILE = 1 << 1
# These rights are to remove and to make files and folders of any kind.
_CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))
# Later versions of the interface added rights: moving between folders (2), truncating (3), control of devices (5).
_REFER, _TRUNCATE, _CONTROL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_BIND_AND_CONNECT = 0b11  # 4
_SOCKETS_AND_SIGNALS = 0b11  # 6
# A model may take this share of the memory that is free when its process starts.
_MEMORY_SHARE = 0.75
_NULL_DEVICE = "/dev/null"


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confined_command(module: str, *arguments: str, writable: Sequence[Path] = ()) -> list[str]:
    """Run a module of this package, confined where this system can.

    Args:
        module: name of the module, as for `module_command`.
        arguments: arguments of the module.
        writable: folders in which it may write.
    """
    folders = json.dumps([str(folder.resolve()) for folder in writable])
    return module_command("pipeline.engine.confine", folders, module, *arguments)


def can_confine() -> bool:
    """Whether this system can confine a process. Where it can, every process that should be confined is confined."""
    return _interface_version() > 0


def confine(writable: Sequence[str]) -> bool:
    """Confine this process and every process that it starts from now on.

    Args:
        writable: folders in which it may write; besides these it may write to the null device only.

    Returns:
        Whether it is confined; False where the system has no Landlock.

    Raises:
        OSError: the system has Landlock and refuses.
    """
    version = _interface_version()
    if version <= 0:
        return False
    files = _WRITE_FILE | _CHANGE_FOLDERS
    files |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    files |= _CONTROL_DEVICE if version >= 5 else 0
    rules = _Ruleset(
        files=files,
        network=_BIND_AND_CONNECT if version >= 4 else 0,
        scopes=_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    library = ctypes.CDLL(None, use_errno=True)
    ruleset = _call(library.syscall, _CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    try:
        for folder in writable:
            _allow(library, ruleset, folder, files)
        _allow(library, ruleset, _NULL_DEVICE, files & (_WRITE_FILE | _TRUNCATE | _CONTROL_DEVICE))
        zero = ctypes.c_ulong(0)
        _call(library.prctl, _PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero)
        _call(library.syscall, _RESTRICT_SELF, ctypes.c_int(ruleset), 0)
    finally:
        os.close(ruleset)
    return True


def _interface_version() -> int:
    """Version of Landlock; 0 or less where there is none, or where a container forbids the question."""
    if sys.platform != "linux":
        return 0
    library = ctypes.CDLL(None)
    return int(library.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG))


def _allow(library: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathRule(allowed=rights, folder=place)
        _call(library.syscall, _ADD_RULE, ctypes.c_int(ruleset), _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> int:
    result = int(function(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the process cannot be confined: {os.strerror(number)}")
    return result


def _limit_memory() -> None:
    """Limit the memory of this process: a model that asks for too much gets an error, or ends this process alone.

    Without a limit, a file of 2 kB that asked for 20 GB kept a machine of 24 GB busy for seven minutes.
    """
    with contextlib.suppress(OSError):  # some containers have no writable /proc
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limits = [int(size * _MEMORY_SHARE) for size in available]
        limits += [limit for limit in resource.getrlimit(resource.RLIMIT_DATA) if limit != resource.RLIM_INFINITY]
        if limits:
            resource.setrlimit(resource.RLIMIT_DATA, (min(limits), min(limits)))


def main(arguments: Sequence[str]) -> None:
    """Confine this process and run a module in it.

    Args:
        arguments: folders in which the process may write, as a JSON list; the module; its arguments.
    """
    folders, module, *module_arguments = arguments
    writable: list[str] = json.loads(folders)
    # Libraries that want a place for temporary files get one that they may use, or none at all.
    if writable:
        os.environ["TMPDIR"] = writable[0]
    if sys.platform == "linux":
        _limit_memory()
    confine(writable)
    sys.argv[1:] = module_arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
