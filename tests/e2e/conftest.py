"""What each file of tests has of its own: a folder in which its servers are recorded, an archive, a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline.archive.mar import Archive
    from tests.browser import Browser


@pytest.fixture(scope="module", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """A small archive that takes grey pictures."""
    from tests.served_models import GREY, build_archive

    return build_archive(tmp_path_factory.mktemp("archive"), [GREY])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; tests of it are skipped where there is none."""
    from tests.browser import running_browser

    with running_browser() as browser:
        yield browser
