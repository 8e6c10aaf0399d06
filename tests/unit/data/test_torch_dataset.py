"""Map-style torch data sets that a factory returns as they are, and what else it may return by mistake."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.decode import ImageDecoding
from pipeline.data import torch_dataset
from pipeline.data.dataset import SPLITS, DataSet
from pipeline.data.load import load_data_set, outside_digests
from pipeline.errors import DataError, PipelineError, UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import Classification
from tests.reporters import Lines

SOURCE = """
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

VALUES = torch.arange(120.0).reshape(60, 2)
LABELS = torch.arange(60) % 3

def plain(): return TensorDataset(VALUES, LABELS)
def by_name(): return {"train": Subset(plain(), range(30)), "val": Subset(plain(), range(30, 45)),
                       "test": Subset(plain(), range(45, 60))}
def by_place(): return tuple(by_name().values())
def of_two(): return {"train": Subset(plain(), range(40)), "test": Subset(plain(), range(40, 60))}
def copied(): return TensorDataset(torch.cat([VALUES, VALUES]), torch.cat([LABELS, LABELS]))
def pictures(): return Other(lambda index: (Image.new("RGB", (6, 8), (index, 9, 9)), index % 4))
def fractions(): return Other(lambda index: (torch.full((3, 8, 6), index / 40), index % 4))
def unlabelled(): return TensorDataset(VALUES)

class Named(TensorDataset):
    classes = ["a", "b", "c", "d"]

def named(): return Subset(Named(VALUES, LABELS), range(50))
class Fewer(TensorDataset):
    classes = ["a", "c", "d"]
def other_names(): return {"train": Named(VALUES, LABELS), "test": Fewer(VALUES[:9], LABELS[:9])}

class Other(Dataset):
    def __init__(self, get, size=40): self.get, self.size = get, size
    def __len__(self): return self.size
    def __getitem__(self, index): return self.get(index)

def noisy(): return Other(lambda index: (torch.rand(2), index % 2))
def uneven(): return Other(lambda index: (torch.full((3 + (index == 7),), index), index % 2))
def broken(): return Other(lambda index: (torch.zeros(2), {}["missing"]))
def empty(): return Other(lambda index: None, size=0)
def iterable():
    class Stream(IterableDataset):
        def __iter__(self): return iter([])
    return Stream()
def endless():
    class Endless(Dataset):
        def __getitem__(self, index): return torch.zeros(2), 0
    return Endless()
def loader(): return torch.utils.data.DataLoader(plain())
def pair(): return plain(), plain()
def strange(): return {"train": plain(), "extra": plain()}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sets.py").write_text(SOURCE)
    return tmp_path


def load(folder: Path, function: str, **fields: Any) -> tuple[DataSet, list[str]]:
    data, reporter = Data.model_validate({"factory": f"sets:{function}", **fields}), Lines()
    loaded = load_data_set(
        data, folder, task=Classification(), scratch=folder / "scratch", cache=folder / "cache", reporter=reporter
    )
    return loaded, reporter.said


def whole(data: DataSet) -> NDArray[Any]:
    return np.concatenate([data.split(name).inputs["input"] for name in SPLITS])


def test_one_data_set_is_split_by_content(folder: Path) -> None:
    data, lines = load(folder, "plain")
    assert sorted(map(tuple, whole(data).tolist())) == [(2.0 * row, 2.0 * row + 1) for row in range(60)]
    for name in SPLITS:
        split = data.split(name)
        assert split.labels is not None
        np.testing.assert_array_equal(split.labels, split.inputs["input"][:, 0] // 2 % 3)
    assert data.classes == ("0", "1", "2")
    assert (data.name, data.task) == ("plain", "classification")
    assert lines == ["data: 60 examples of input input, float32 (2,), read from a torch Dataset"]


def test_copies_are_in_one_split(folder: Path) -> None:
    data, lines = load(folder, "copied")
    rows = [set(map(tuple, data.split(name).inputs["input"].tolist())) for name in SPLITS]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 60
    assert lines[-1] == "data: 60 of 120 examples hold the same inputs as another"


@pytest.mark.parametrize("function", ["by_name", "by_place"])
def test_data_sets_by_split_stay_apart(folder: Path, function: str) -> None:
    data, _ = load(folder, function)
    assert [len(data.split(name)) for name in SPLITS] == [30, 15, 15]
    assert data.train.inputs["input"].max() == 59


def test_validation_is_made_of_train_where_there_is_none(folder: Path) -> None:
    data, _ = load(folder, "of_two", validation_share=0.4)
    assert len(data.test) == 20
    assert 5 < len(data.validation) < 30
    assert len(data.train) + len(data.validation) == 40


def test_pictures_stay_bytes_that_a_server_takes_as_files(folder: Path) -> None:
    data, _ = load(folder, "pictures")
    [spec] = data.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("image", "uint8", (3, 8, 6))
    assert spec.decoding == ImageDecoding(mode="RGB")
    assert len(data.classes) == 4


def test_pictures_in_fractions_are_float32_and_the_log_says_what_that_costs(folder: Path) -> None:
    data, lines = load(folder, "fractions")
    assert data.inputs[0].dtype == "float32"
    assert any("a server takes no picture files; let the Dataset give PIL pictures" in line for line in lines)


def test_names_are_the_data_sets_own_or_listed(folder: Path) -> None:
    assert load(folder, "named")[0].classes == ("a", "b", "c", "d")
    assert load(folder, "named", classes=["x", "y", "z"])[0].classes == ("x", "y", "z")
    moved, _ = load(folder, "named", classes=["d", "c", "b", "a"])
    own, _ = load(folder, "named")
    assert moved.classes == ("d", "c", "b", "a")
    assert moved.train.labels is not None
    assert own.train.labels is not None
    assert moved.train.labels.tolist() == [3 - label for label in own.train.labels]
    data, _ = load(folder, "unlabelled", classes=["x", "y"])
    assert (data.labelled, data.classes) == (False, ("x", "y"))


def test_examples_too_many_for_memory_lie_in_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = load(folder, "plain")
    for module in ("torch_dataset", "split_arrays"):
        monkeypatch.setattr(f"pipeline.data.{module}.fits_in_memory", lambda _: False)
    data, _ = load(folder, "plain")
    assert data.digest() == expected.digest()
    assert data.train.file == folder / "scratch" / "train.safetensors"


def test_the_values_are_watched_where_nothing_says_what_is_read(folder: Path) -> None:
    data = Data(factory="sets:plain")
    before = outside_digests(data, folder, task=Classification())
    (folder / "sets.py").write_text(SOURCE.replace("arange(120.0)", "arange(1.0, 121.0)"))
    assert outside_digests(data, folder, task=Classification())["data"] != before["data"]


FORMS = "expected a pipeline.DataSet .*, a map-style torch Dataset, or a dict of Datasets by split"


@pytest.mark.parametrize(
    ("function", "fields", "error", "message"),
    [
        ("noisy", {}, DataError, "example 0: expected the same input whenever it is read.* train.horizontal_flip"),
        ("uneven", {}, DataError, r"example 7: expected input int64 \(3,\).* found input int64 \(4,\).*Resize"),
        ("broken", {}, DataError, r"factory sets:broken: KeyError: 'missing' \(.*sets\.py:\d+\)"),
        ("empty", {}, DataError, "expected examples, found a Dataset of length 0"),
        ("iterable", {}, UsageError, r"found an IterableDataset \(Stream\); list its examples"),
        ("endless", {}, UsageError, "expected a map-style Dataset with __len__, found none in Endless"),
        ("loader", {}, UsageError, f"{FORMS}.*, found DataLoader"),
        ("pair", {}, UsageError, f"{FORMS}.*, found a tuple of TensorDataset, TensorDataset"),
        ("strange", {}, UsageError, f"{FORMS}.*, found a dict of train: TensorDataset, extra: TensorDataset"),
        ("other_names", {}, DataError, "test: expected the classes of train, a, b, c, d, found a, c, d"),
        ("unlabelled", {}, DataError, "data.classes: expected the names of the network's outputs"),
        ("plain", {"classes": ["x"]}, DataError, "data.classes: expected a name for each of 3 outputs, .* found 1"),
    ],
)
def test_what_a_factory_must_not_return(
    folder: Path, function: str, fields: dict[str, Any], error: type[PipelineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(folder, function, **fields)


def test_names_of_a_data_set_that_wraps_another() -> None:
    inner = SimpleNamespace(classes=("a", "b"))
    assert torch_dataset._own_names(SimpleNamespace(dataset=SimpleNamespace(dataset=inner))) == ("a", "b")
    assert torch_dataset._own_names(SimpleNamespace(classes=7)) == ()
