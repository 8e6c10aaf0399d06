"""A profile is read again as it was written, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engine.documents import write_document
from pipeline.errors import FileError
from pipeline.profiling.document import PROFILE_NAME, read_profile
from tests.profiles import profile, recording


def test_a_profile_is_read_from_its_file_or_folder(tmp_path: Path) -> None:
    written = profile(hints=("try it",))
    write_document(tmp_path / PROFILE_NAME, written)
    assert read_profile(tmp_path) == read_profile(tmp_path / PROFILE_NAME) == written


def test_what_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        FileError, match=r"expected a profile\.json of pipeline profile, or a folder with one, found none"
    ):
        read_profile(tmp_path)
    file = tmp_path / PROFILE_NAME
    for content, text in (("{", "found: "), ('{"recipe": "r"}', "mode: Field required"), ("[]", "found: document")):
        file.write_text(content)
        with pytest.raises(FileError, match=f"expected a profile as pipeline profile writes it, .*{text}") as caught:
            read_profile(file)
        assert "\n" not in str(caught.value)


def test_shares_are_those_of_the_mean_step() -> None:
    steps = recording(step_ms=(8.0, 9.0, 13.0))
    assert steps.median_ms == 9.0
    assert steps.loading_ms == 1.0
    assert steps.loading_share == pytest.approx(0.1)
