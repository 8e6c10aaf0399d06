"""The level of a test follows from its folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from tests.example_build import Built

# A shell that runs the tests in the background makes them ignore Ctrl-C, and every process they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
LEVELS = ("unit", "handler", "integration", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        level = item.path.relative_to(TESTS).parts[0]
        if level not in LEVELS:
            message = f"{item.path}: expected it in one of tests/{{{','.join(LEVELS)}}}, found it in tests/{level}"
            raise pytest.UsageError(message)
        item.add_marker(level)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A finished build of the worked example; copy its run directory before changing it.

    Of several processes that run tests, the first one builds, and each of the others takes a copy.
    """
    from tests.example_build import build_example, copy_of_build

    own, several = tmp_path_factory.getbasetemp(), "PYTEST_XDIST_WORKER" in os.environ
    shared, folder = (own.parent if several else own) / "shared-build", own / "built"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(folder / "state"))
        with FileLock(shared.with_suffix(".lock")):
            if not (shared / "finished").exists():
                build_example(shared)
                (shared / "finished").touch()
        yield copy_of_build(shared, folder)
