"""Figures that somebody recorded: those that are read are checked, all are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.archive.evidence.document import read_evidence
from pipeline.archive.evidence.recorded import Recorded
from pipeline.archive.mar import read_archive

ARCHIVES = sorted(Path(__file__).parents[3].joinpath("data", "archives").glob("*.mar"))


class Figures(Recorded):
    limit: float
    share: float = 0.5


def test_all_is_kept_in_its_order() -> None:
    written = {"checks": 3, "limit": 0.1, "later": {"b": 1, "a": 2}}
    figures = Figures.model_validate(written)
    assert figures.limit == 0.1
    assert json.dumps(figures.model_dump(mode="json")) == json.dumps({**written, "share": 0.5})


def test_what_is_read_must_be_there_and_be_a_number() -> None:
    for written in ({"checks": 3}, {"limit": "wide"}):
        with pytest.raises(ValidationError, match="limit"):
            Figures.model_validate(written)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_rows_of_earlier_releases_are_told_as_they_were_written(path: Path) -> None:
    document = read_archive(path).evidence
    assert document is not None
    evidence = read_evidence(str(path), document).model_dump(mode="json")
    for part in ("candidates", "metrics"):
        assert json.dumps(evidence[part]) == json.dumps(document[part])
