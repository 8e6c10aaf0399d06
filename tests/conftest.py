"""The level of a test follows from its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LEVELS = ("unit", "handler", "integration", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        level = item.path.relative_to(TESTS).parts[0]
        if level not in LEVELS:
            message = f"{item.path}: expected it in one of tests/{{{','.join(LEVELS)}}}, found it in tests/{level}"
            raise pytest.UsageError(message)
        item.add_marker(level)
