"""What evidence says, and what it leaves out."""

from __future__ import annotations

import json

import pytest

from pipeline.archive.evidence.document import package_url, read_evidence
from pipeline.errors import FileError
from tests.evidence_sample import sample_evidence


def test_timings_are_left_out() -> None:
    assert "timings" not in json.dumps(sample_evidence())


def test_reading_back() -> None:
    evidence = read_evidence("a.mar", sample_evidence())
    assert evidence.packed.name == evidence.candidate == "float.onnx.fp32"
    assert evidence.seeds == {"data": 3, "train": 5}
    assert evidence.model_dump(mode="json") == sample_evidence()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, r"^a\.mar: expected a member evidence\.json, found none; build it with this version$"),
        ({**sample_evidence(), "schema_number": 9}, r"^a\.mar: evidence\.json: schema_number: Input should be 1$"),
        ({**sample_evidence(), "host": "h"}, r"^a\.mar: evidence\.json: host: Extra inputs are not permitted$"),
        ({**sample_evidence(), "candidate": "x"}, r"evidence\.json: expected a row of candidate x, found none$"),
    ],
)
def test_evidence_that_is_none(document: dict[str, object] | None, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_evidence("a.mar", document)


def test_package_urls_are_normalized_and_escaped() -> None:
    assert package_url("Pillow_X", "2.13.0+cpu") == "pkg:pypi/pillow-x@2.13.0%2Bcpu"
