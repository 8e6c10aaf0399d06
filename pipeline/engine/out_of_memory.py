"""The message about a machine without memory left, in whatever form a library reports it."""

from __future__ import annotations

import errno
import re
import signal
import subprocess

from pipeline.engine.places import chain

# torch on a CPU ("DefaultCPUAllocator: can't allocate memory") and on a GPU, ONNX Runtime, C++.
_NO_MEMORY = re.compile(r"(?:can't|failed to) allocate memory|out of memory|bad_alloc", re.IGNORECASE)
# Bytes, or a number with a unit, as torch and numpy write it.
_ASKED_FOR = re.compile(r"(?:to allocate|buffer of size) (\d[\d.]*(?: ?[KMGTP]iB)?)", re.IGNORECASE)


def lacked_memory(process: subprocess.CompletedProcess[str]) -> bool:
    """Whether a process that has ended was killed, most likely for memory, or says that it got none."""
    said = "MemoryError" in process.stderr or _NO_MEMORY.search(process.stderr) is not None
    return process.returncode == -signal.SIGKILL or (process.returncode != 0 and said)


def no_memory(error: BaseException) -> str | None:
    """One line if an error comes from a lack of memory; else None.

    Args:
        error: error with the errors that it was raised from.

    Returns:
        How much was asked for where that is known, how much is free, what to do.
    """
    import psutil

    for link in chain(error):
        by_kind = isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM)
        # Errors of libraries are known by name and text: the libraries are not loaded here.
        of_library = isinstance(link, RuntimeError) or type(link).__module__.startswith("onnxruntime.")
        by_text = type(link).__name__ == "OutOfMemoryError" or _NO_MEMORY.search(str(link))
        if by_kind or (of_library and by_text):
            asked = _ASKED_FOR.search(str(link))
            needed = f"{_readable(asked[1])} more" if asked else "some more"
            memory = psutil.virtual_memory()
            return (
                f"out of memory: expected {needed}, found {memory.available / 1e9:.1f} of this machine's "
                f"{memory.total / 1e9:.1f} GB free, or a limit on this process; take smaller batches "
                "(train.batch_size, with train.accumulate for the same step), smaller inputs or a machine with more"
            )
    return None


def _readable(size: str) -> str:
    return f"{int(size) / 1e9:.1f} GB" if size.isdigit() else size
