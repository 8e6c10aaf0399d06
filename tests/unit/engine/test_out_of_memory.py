"""A machine without memory left is told in one line, whoever notices it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pipeline.engine.out_of_memory import no_memory
from pipeline.errors import ProofError


def huge_tensor() -> None:
    torch.empty(1 << 46)


def huge_array() -> None:
    np.empty(1 << 46)


@pytest.mark.parametrize("allocate", [huge_tensor, huge_array])
def test_what_libraries_raise(allocate: Callable[[], None]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    said = no_memory(caught.value)
    assert said is not None
    assert said.startswith("out of memory: expected ")
    assert " GB free, or a limit on this process; take smaller batches" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ..."), "2.50 GiB more"),
        (torch.OutOfMemoryError(), "some more"),
        (RuntimeError("Failed to allocate memory for requested buffer of size 16000000000"), "16.0 GB more"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "some more"),
    ],
)
def test_how_much_was_asked_for(error: Exception, needed: str) -> None:
    said = no_memory(error)
    assert said is not None
    assert f"expected {needed}, found " in said


def test_an_error_that_hides_it_and_errors_that_are_others() -> None:
    hides = ProofError("the file cannot be replayed")
    hides.__cause__ = MemoryError()
    assert no_memory(hides) is not None
    assert no_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert no_memory(ProofError("the words: out of memory")) is None, "a line of ours is no error of a library"
