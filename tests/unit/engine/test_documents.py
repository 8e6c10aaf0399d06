"""Files that one stage writes and others read."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import FLOAT32
from pipeline.engine.documents import Document, read_document, write_document
from pipeline.engine.handler_fields import InputField, RuntimeField, ToleranceField
from pipeline.errors import FileError


class Sample(Document):
    title: ClassVar[str] = "a sample"

    runtime: RuntimeField
    inputs: tuple[InputField, ...]
    tolerance: ToleranceField


SAMPLE = Sample(
    runtime=RuntimeSpec(kind="onnxruntime", file="model.onnx", threads=2),
    inputs=(InputSpec(name="table", dtype="float32", shape=(4,), low=0.0, high=1.0),),
    tolerance=FLOAT32,
)


def test_what_is_written_is_read_again_and_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        write_document(tmp_path / name, SAMPLE)
    assert read_document(tmp_path / "one.json", Sample) == SAMPLE
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"threads"', '"cores"', r"sample\.json: runtime: Value error, runtime: .*cores.*; run pipeline build again$"),
        ('"model.onnx"', '"../model.onnx"', r"sample\.json: runtime: Value error, runtime: file.*; run pipeline build"),
        (
            '"spread"',
            '"width"',
            r"sample\.json: tolerance: Value error, tolerance: .*width.*; run pipeline build",
        ),
        (
            '"inputs"',
            '"features"',
            r"sample\.json: inputs: Field required; another version wrote it, or it was altered; run pipeline build",
        ),
        ("}", "", r"sample\.json: expected a sample, found: .*; run pipeline build again$"),
    ],
)
def test_what_another_version_wrote_is_told_in_one_line(before: str, after: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    write_document(file, SAMPLE)
    content = file.read_text()
    assert before in content
    file.write_text(content.replace(before, after))
    with pytest.raises(FileError, match=message):
        read_document(file, Sample)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.json: expected a sample, found: .*No such file"):
        read_document(tmp_path / "none.json", Sample)
