"""From a recipe's data section to a data set, and what of it is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.data.dataset import DataSet
from pipeline.data.load import load_data_set, outside_digests
from pipeline.engine.stage import Silent
from pipeline.errors import DataError, PipelineError, UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import Classification

SOURCE = """
import numpy as np
from pipeline._handlers.decode import InputSpec
from pipeline import DataSet

def load(path=None, value=1, count=20):
    raw = np.full((count, 2), value, dtype=np.float32)
    if path is not None:
        raw[:] = float((path / "value.txt").read_text())
    spec = InputSpec(name="x", dtype="float32", shape=(2,), low=-9, high=9)
    return DataSet.from_arrays("mine", {"x": raw}, np.arange(count) % 2, classes=["a", "b"], specs=[spec])

def nothing():
    return None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "value.txt").write_text("3")
    return tmp_path


def _data(**fields: Any) -> Data:
    return Data.model_validate({"factory": "mine:load", **fields})


def _load(data: Data, folder: Path) -> DataSet:
    return load_data_set(
        data, folder, task=Classification(), scratch=folder / "scratch", cache=folder / "cache", reporter=Silent()
    )


def test_a_factory_gets_path_and_arguments(folder: Path) -> None:
    assert _load(_data(path="files"), folder).train.inputs["x"].max() == 3
    assert len(_load(_data(arguments={"count": 40}), folder).train) == 24


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"path": "none"}, DataError, "data.path .*none: expected a file or folder, found none"),
        ({"arguments": {"size": 1}}, UsageError, r"factory mine:load: expected arguments of load\(path=None.* 'size'"),
        ({"arguments": {"value": 10}}, DataError, "data set mine: input x: expected values from -9 to 9, found 10"),
        ({"arguments": {"value": "two"}}, DataError, r"factory mine:load: ValueError: .*two.* \(.*mine\.py:7\)"),
        ({"factory": "mine:nothing"}, UsageError, r"expected a pipeline\.DataSet .*, found NoneType"),
    ],
)
def test_what_can_go_wrong(folder: Path, fields: dict[str, Any], error: type[PipelineError], text: str) -> None:
    with pytest.raises(error, match=text):
        _load(_data(**fields), folder)


def test_files_under_the_path_are_watched_without_calling_the_factory(folder: Path) -> None:
    data = _data(path="files")
    before = outside_digests(data, folder, task=Classification())
    assert set(before) == {"data.factory mine.py", "data.factory numpy", "data.path value.txt"}
    (folder / "files" / "value.txt").write_text("4")
    (folder / "files" / "more.txt").write_text("")
    after = outside_digests(data, folder, task=Classification())
    assert after["data.path value.txt"] != before["data.path value.txt"]
    assert "data.path more.txt" in after


def test_without_a_path_the_values_themselves_are_watched(folder: Path) -> None:
    before, after = (
        outside_digests(_data(arguments={"value": value}), folder, task=Classification()) for value in (1, 2)
    )
    assert before["data"] != after["data"]
    assert before["data.factory mine.py"] == after["data.factory mine.py"]


def test_a_built_in_set_is_fixed_by_its_checksums(folder: Path) -> None:
    assert outside_digests(Data(name="fashion-mnist"), folder, task=Classification()) == {}
