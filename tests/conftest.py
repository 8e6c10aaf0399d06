"""The level of a test follows from its folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    """A finished build of the worked example; copy its run directory before changing it."""
    from tests.example_build import build_example

    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(folder / "state"))
        yield build_example(folder)
