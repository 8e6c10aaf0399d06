"""Map-style torch data sets, as a user's factory returns them: each example is read once, into arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.picture_modes import Mode
from pipeline.data.dataset import DataSet, SplitName
from pipeline.data.picture_classes import listed_outputs
from pipeline.data.picture_files import SPLIT_FOLDERS
from pipeline.data.split_arrays import copies, open_splits, split_arrays
from pipeline.data.torch_examples import Example, digest_of, read_example
from pipeline.engine.array_files import Shape, create_arrays, fits_in_memory
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError, UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import TaskSettings
from pipeline.tasks.table import task_of

_ORDER: tuple[SplitName, ...] = ("train", "validation", "test")
# Number of examples that are read again, and how often: a random transform would have to give the same each time.
_READ_AGAIN, _TIMES = 16, 2
_PROGRESS = 1000
_FORMS = (
    "expected a pipeline.DataSet (DataSet.from_arrays), a map-style torch Dataset, or a dict of Datasets by split "
    "(train, validation, test)"
)


def read_torch_data(
    source: object,
    data: Data,
    folder: Path,
    *,
    task: TaskSettings,
    where: str,
    scratch: Path,
    reporter: Reporter,
) -> DataSet:
    """Read map-style data sets into a `DataSet`.

    An example is `(input, target)`, or an input alone. An input is a tensor, an array or a PIL picture, or a dict of
    these by name. Pictures and uint8 (C, H, W) stay uint8, so that a server takes picture files for them; other
    integers become int64, and fractions float32. One Dataset is split by the content of its examples.

    Args:
        source: what the factory returned.
        data: section of the recipe.
        folder: folder of the recipe.
        task: settings of the task, which say what targets are.
        where: the factory, for messages.
        scratch: folder for examples that are too many for memory.
        reporter: receives what was read.

    Raises:
        UsageError: the factory returned something else.
        DataError: an example is none, differs from the first in its shape or dtype, or from itself when read again;
            or targets do not fit the task.
    """
    datasets = _by_split(source, where)
    firsts = [read_example(dataset[0], f"{where}, example 0") for _, dataset in datasets]
    for (name, dataset), first in zip(datasets, firsts, strict=True):
        _require_same_twice(dataset, f"{where}{_of_split(name)}", first)
    first = firsts[0]
    count = sum(_length(dataset, where) for _, dataset in datasets)
    arrays = _allocate(first, count, scratch)
    given: list[SplitName | None] = []
    digests: list[str] = []
    targets: list[NDArray[Any]] = []
    for name, dataset in datasets:
        for index, example in _examples(dataset, f"{where}{_of_split(name)}", first):
            if index % _PROGRESS == 0:
                reporter.progress("data", len(given), count)
            for key, value in example.inputs.items():
                arrays[key][len(given)] = value
            given.append(name)
            digests.append(digest_of(example))
            if example.target is not None:
                targets.append(example.target)
    _require_same_names(datasets, where)
    labels, outputs = _targets(targets, datasets[0][1], data, folder, task=task, where=where)
    splits = open_splits(
        given,
        digests,
        labels,
        seed=data.seed,
        shares={"validation": data.validation_share, "test": data.test_share},
        where=where,
    )
    specs = tuple(_spec(key, array, pictures=first.pictures) for key, array in arrays.items())
    for line in (*_remarks(specs, count), *copies(digests, splits, what="examples hold the same inputs as another")):
        reporter.log(f"data: {line}")
    parts = split_arrays(arrays, labels, splits=splits, digests=digests, seed=data.seed, scratch=scratch)
    return DataSet(
        name=where.rpartition(":")[2],
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        classes=outputs,
        inputs=specs,
        task=task_of(task).name,
    )


def _by_split(source: object, where: str) -> list[tuple[SplitName | None, Any]]:
    """The data sets that a factory returned, each with its split; None for one that is to be split."""
    if isinstance(source, Dataset):
        return [(None, _require_map_style(source, where))]
    named: dict[SplitName, object] = {}
    if isinstance(source, tuple | list) and len(source) == len(_ORDER):
        named = dict(zip(_ORDER, source, strict=True))
    elif isinstance(source, Mapping) and source and all(str(key).lower() in SPLIT_FOLDERS for key in source):
        named = {SPLIT_FOLDERS[str(key).lower()]: dataset for key, dataset in source.items()}
    if not named or "train" not in named or not all(isinstance(dataset, Dataset) for dataset in named.values()):
        raise UsageError(f"{where}: {_FORMS}, found {_kind(source)}")
    return [(name, _require_map_style(named[name], f"{where}, {name}")) for name in _ORDER if name in named]


def _require_map_style(dataset: object, where: str) -> object:
    if isinstance(dataset, IterableDataset):
        raise UsageError(
            f"{where}: expected a map-style Dataset, whose examples have numbers (__getitem__ and __len__), found an "
            f"IterableDataset ({type(dataset).__name__}); list its examples in a Dataset"
        )
    if _length(dataset, where) == 0:
        raise DataError(f"{where}: expected examples, found a Dataset of length 0")
    return dataset


def _length(dataset: Any, where: str) -> int:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise UsageError(
            f"{where}: expected a map-style Dataset with __len__, found none in {type(dataset).__name__}"
        ) from error


def _kind(source: object) -> str:
    if isinstance(source, tuple | list):
        return f"a {type(source).__name__} of {', '.join(type(part).__name__ for part in source) or 'nothing'}"
    if isinstance(source, Mapping):
        return f"a dict of {', '.join(f'{key}: {type(part).__name__}' for key, part in source.items()) or 'nothing'}"
    return type(source).__name__


def _of_split(name: SplitName | None) -> str:
    return "" if name is None else f", {name}"


def _examples(dataset: Any, where: str, first: Example) -> Iterator[tuple[int, Example]]:
    """Read the examples in order; each has the shapes and dtypes of the first."""
    for index in range(len(dataset)):
        example = read_example(dataset[index], f"{where}, example {index}")
        if example.facts != first.facts:
            raise DataError(
                f"{where}, example {index}: expected {first.in_words()}, as in the first example, found "
                f"{example.in_words()}; let the data set bring all to one shape and dtype, for example with a Resize "
                "in its transform"
            )
        yield index, example


def _require_same_twice(dataset: Any, where: str, first: Example) -> None:
    """Read some examples again. Whatever is random would be frozen into the arrays, and held-out data would have it."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, _READ_AGAIN).astype(np.int64)).tolist():
        digests = {digest_of(read_example(dataset[index], f"{where}, example {index}")) for _ in range(_TIMES)}
        if index == 0:
            digests.add(digest_of(first))
        if len(digests) > 1:
            raise DataError(
                f"{where}, example {index}: expected the same input whenever it is read, found another one; take "
                "random transforms out of the data set: training pictures are moved by train.horizontal_flip and "
                "train.shift"
            )


def _allocate(first: Example, count: int, scratch: Path) -> dict[str, NDArray[Any]]:
    shapes: dict[str, Shape] = {key: (value.dtype, (count, *value.shape)) for key, value in first.inputs.items()}
    if fits_in_memory(count * sum(value.nbytes for value in first.inputs.values())):
        return {key: np.empty(shape, dtype) for key, (dtype, shape) in shapes.items()}
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / "examples.safetensors"
    path.unlink(missing_ok=True)
    return create_arrays(path, shapes)


def _targets(
    targets: Sequence[NDArray[Any]], dataset: Any, data: Data, folder: Path, *, task: TaskSettings, where: str
) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Targets as a split stores them, and the names of the outputs: listed, or the data set's own, or numbers."""
    if not targets:
        return None, listed_outputs((), None, data, folder, task=task)[0]
    rules = task_of(task)
    raw = np.stack(targets)
    rules.check_targets(where, raw, exactly=False)
    labels = rules.stored(raw)
    of_one = int(labels.max()) + 1 if rules.name == "classification" else 1
    width = of_one if labels.ndim == 1 else labels.shape[1]
    names = own = _own_names(dataset)
    if len(names) < width:
        names = tuple(map(str, range(width)))
    if data.classes is None:
        return labels, names
    listed, _ = listed_outputs((), None, data, folder, task=task)
    if names == own and set(own) <= set(listed):  # the same names in another order: targets follow them
        return listed_outputs(own, labels, data, folder, task=task)[::-1]
    if len(listed) < width:
        raise DataError(
            f"data.classes: expected a name for each of {width} outputs, by the targets of {where}, found {len(listed)}"
        )
    return labels, listed


def _require_same_names(datasets: Sequence[tuple[SplitName | None, Any]], where: str) -> None:
    """Refuse splits whose classes differ: a folder that lacks a class counts the others otherwise."""
    (first, dataset), *others = datasets
    expected = _own_names(dataset)
    for name, other in others:
        if (found := _own_names(other)) != expected:
            raise DataError(
                f"{where}, {name}: expected the classes of {first}, {', '.join(expected) or 'none'}, found "
                f"{', '.join(found) or 'none'}: the same number would mean another class; give all splits the same"
            )


def _own_names(dataset: Any) -> tuple[str, ...]:
    """The names that torchvision's data sets have, also behind a Subset."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _spec(name: str, array: NDArray[Any], *, pictures: Mapping[str, Mode]) -> InputSpec:
    shape, dtype = array.shape[1:], array.dtype.name
    match dtype:
        case "uint8":
            modes: dict[int, Mode] = {1: "L", 3: "RGB"}
            mode = pictures.get(name) or (modes.get(shape[0]) if len(shape) == 3 else None)
            decoding = None if mode is None else ImageDecoding(mode=mode)
            return InputSpec(name=name, dtype="uint8", shape=shape, low=0, high=255, decoding=decoding)
        case "int64":
            low, high = min(0, int(array.min())), int(array.max())
            return InputSpec(name=name, dtype="int64", shape=shape, low=low, high=high)
        case _:
            return InputSpec(name=name, dtype="float32", shape=shape, low=-math.inf, high=math.inf)


def _remarks(specs: Sequence[InputSpec], count: int) -> Iterator[str]:
    for spec in specs:
        yield f"{count} examples of input {spec.name}, {spec.dtype} {spec.shape}, read from a torch Dataset"
        if spec.decoding is not None:
            yield (
                f"picture files that clients send for {spec.name} are squeezed to {spec.shape[1]} x {spec.shape[2]}; "
                "where the Dataset resizes or crops otherwise, use data.folder, or return a pipeline.DataSet with its "
                "own ImageDecoding"
            )
        if spec.dtype == "float32" and len(spec.shape) == 3 and spec.shape[0] in (1, 3):
            yield (
                f"input {spec.name} looks like a picture in fractions, for which a server takes no picture files; let "
                "the Dataset give PIL pictures (without ToTensor and Normalize), and say the rest in "
                "model.preprocessing"
            )
        elif spec.dtype == "int64":
            yield f"input {spec.name} takes whole numbers from {spec.low:g} to {spec.high:g}, as in the data"
