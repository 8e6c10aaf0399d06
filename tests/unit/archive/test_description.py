"""What an archive says of its inputs, held against what they were judged as."""

from __future__ import annotations

import pytest

from pipeline.archive.description import require_description, require_task
from pipeline.archive.mar import Archive
from pipeline.errors import ProofError
from tests.served_models import LABELS, TABLE, build_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("archive"), [TABLE])


@pytest.mark.parametrize("field", ["missing", "occurs"])
def test_evidence_of_a_release_that_did_not_know_a_field_agrees(archive: Archive, field: str) -> None:
    described = {key: value for key, value in TABLE.to_json().items() if key != field}
    require_description(archive, inputs=[described], labels=LABELS, source="evidence.json")


def test_an_input_that_was_judged_otherwise_is_named(archive: Archive) -> None:
    for changes, says in (
        ({"missing": True}, "input features: missing: expected True, as evidence.json says, found none"),
        ({"low": None}, "input features: low: expected none, as evidence.json says, found -2.0"),
        ({"shape": [0]}, r"input features: shape: expected \[0\], as evidence.json says, found \[4\]"),
    ):
        with pytest.raises(ProofError, match=says):
            require_description(archive, inputs=[{**TABLE.to_json(), **changes}], labels=LABELS, source="evidence.json")


def test_settings_of_the_task_that_were_judged_otherwise_are_named(archive: Archive) -> None:
    require_task(archive, task="classification", settings={}, source="data set d")
    with pytest.raises(ProofError, match=r"serving\.json: task: expected multi-label, as data set d says, found class"):
        require_task(archive, task="multi-label", settings={}, source="data set d")
    with pytest.raises(ProofError, match=r"threshold: expected \[0\.3\], as data set d says, found none; clients"):
        require_task(archive, task="classification", settings={"threshold": [0.3]}, source="data set d")
