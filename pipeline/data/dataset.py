"""The classes of a data set, their checks, and the files of its splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from safetensors import SafetensorError

from pipeline._handlers.activation import Activation
from pipeline._handlers.decode import InputSpec
from pipeline.data.free_axis_sizes import with_shared_names
from pipeline.data.input_checks import check_split
from pipeline.data.training_statistics import Statistics, fit_statistics
from pipeline.engine.array_files import fits_in_memory, link_or_copy, pieces, read_arrays, write_arrays
from pipeline.engine.documents import Document, first_problem
from pipeline.engine.handler_fields import InputField
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, TaskName, TaskSettings, judged_by_labels, takes_any_data
from pipeline.tasks.coverage import Coverage
from pipeline.tasks.quality import AGREEMENT
from pipeline.tasks.table import task_named, task_of
from pipeline.tasks.task import Task

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

_LABELS = "labels"
_INPUT = "input."


@dataclass(frozen=True, kw_only=True)
class Split:
    """Examples with or without labels. Arrays may be read-only memory maps of a file that is larger than memory.

    Args:
        inputs: raw values (N, *shape) of each input's dtype, by input name.
        labels: targets (N, ...); in classification class indices, (N,) int64. None where there are none: answers are
            judged by the float network's decisions then.
        file: file that holds this very split as `write_split` writes it, whose arrays are mapped; None where none does.
    """

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None
    file: Path | None = None

    def __len__(self) -> int:
        """Number of examples."""
        return len(next(iter(self.inputs.values()), ()) if self.labels is None else self.labels)

    def take(self, indices: NDArray[np.int64] | slice) -> Split:
        """The examples at some indices, in the order of the indices."""
        return Split(
            inputs={name: raw[indices] for name, raw in self.inputs.items()},
            labels=None if self.labels is None else self.labels[indices],
        )

    def targets(self, task: Task, float_outputs: NDArray[np.float32], *, activation: Activation) -> NDArray[Any]:
        """The targets that answers are judged by: the labels, or else the decisions of the float network.

        Args:
            task: task of the network.
            float_outputs: the float network's outputs on this split, (N, K).
            activation: activation that they already have.
        """
        labels = self.judged(task).labels
        return task.targets_of(float_outputs, activation=activation) if labels is None else labels

    def metric(self, task: Task) -> str:
        """The name of the mean score against those targets, such as accuracy."""
        return AGREEMENT if self.judged(task).labels is None else task.metric

    def judged(self, task: Task) -> Split:
        """The split without the labels, where the task does not judge by them."""
        return self if judged_by_labels(task.settings) else replace(self, labels=None)

    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and values."""
        digest = hashlib.sha256()
        labels = {} if self.labels is None else {"": self.labels}
        for name, array in sorted({**self.inputs, **labels}.items()):
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            for rows in pieces(array):
                digest.update(np.ascontiguousarray(array[rows]).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set in three splits, all of them labelled or none; everything is checked on creation.

    Args:
        name: name in messages and files.
        train: split for training, fine-tuning and calibration.
        validation: split for selection.
        test: split for the report; it is opened once.
        classes: names of the network's outputs, by index; in classification these are the classes.
        inputs: specifications of the inputs of one example.
        sources: SHA-256 of the files that the data were read from, by name; empty where there are none.
        task: name of the task of a network for this data.

    Raises:
        DataError: a split is empty, of unequal lengths, of the wrong shape or dtype, out of the domain, or its labels
            do not fit the task; or some splits have labels and others have none.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    inputs: tuple[InputSpec, ...]
    sources: dict[str, str] = field(default_factory=dict)
    task: TaskName = "classification"

    def __post_init__(self) -> None:
        """Check the names and all splits."""
        task = task_named(self.task)
        task.check_names(f"data set {self.name}", self.classes, key="classes")
        names = [spec.name for spec in self.inputs]
        if not names or len(set(names)) != len(names):
            raise DataError(f"data set {self.name}: inputs: expected one or more of different names, found {names}")
        for which in SPLITS:
            check_split(
                f"data set {self.name}, {which}", self.split(which), self.inputs, outputs=len(self.classes), task=task
            )

        unlabelled = [which for which in SPLITS if self.split(which).labels is None]
        if 0 < len(unlabelled) < len(SPLITS):
            raise DataError(
                f"data set {self.name}: expected labels in all three splits or in none, found none in "
                f"{' and '.join(unlabelled)}; give them there too, or leave all out"
            )

    @property
    def labelled(self) -> bool:
        """Whether the examples have labels."""
        return self.test.labels is not None

    def split(self, which: SplitName) -> Split:
        """The split of that name."""
        split: Split = getattr(self, which)
        return split

    def digest(self) -> str:
        """SHA-256 over everything that a build reads from the data set."""
        document = {
            "name": self.name,
            "classes": self.classes,
            "inputs": [spec.to_json() for spec in self.inputs],
            "splits": [self.split(which).digest() for which in SPLITS],
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_arrays(
        cls,
        name: str,
        inputs: Mapping[str, NDArray[Any]],
        labels: NDArray[Any] | None = None,
        *,
        classes: Sequence[str] = (),
        specs: Sequence[InputSpec],
        seed: int = 0,
        validation: float = 0.2,
        test: float = 0.2,
        sources: Mapping[str, str] | None = None,
        task: TaskName = "classification",
    ) -> DataSet:
        """Split a set in three, each class in the same shares if it has labels; the same seed gives the same splits.

        Args:
            name: name in messages and files.
            inputs: raw values (N, *shape), by input name.
            labels: targets (N, ...); in classification class indices of any integer dtype, (N,). None where there are
                none: candidates are judged by agreement with the float network then.
            classes: names of the network's outputs, by index; in classification these are the classes.
            specs: specifications of the inputs of one example.
            seed: seed of the shuffle.
            validation: share of the examples held out for selection.
            test: share of the examples held out for the report.
            sources: SHA-256 of the files that the data were read from, by name.
            task: name of the task of a network for this data.

        Raises:
            DataError: the shares leave nothing to train on, or the arrays do not fit each other.
        """
        if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
            raise DataError(
                f"data set {name}: expected shares above 0 for validation and test with a sum under 1, "
                f"found {validation} and {test}"
            )
        task_rules = task_named(task)
        whole = Split(
            inputs={key: np.ascontiguousarray(raw) for key, raw in inputs.items()},
            labels=None if labels is None else _stored(f"data set {name}", np.asarray(labels), task_rules),
        )
        check_split(f"data set {name}", whole, tuple(specs), outputs=len(classes), task=task_rules)
        strata = np.zeros(len(whole), np.int64) if whole.labels is None else task_rules.strata(whole.labels)
        generator = np.random.default_rng(seed)
        parts: dict[SplitName, list[NDArray[np.int64]]] = {which: [] for which in SPLITS}
        for stratum in np.unique(strata):
            members = generator.permutation(np.flatnonzero(strata == stratum))
            ends = np.rint(np.array([validation, validation + test]) * len(members)).astype(np.int64)
            held_out, tested, trained = np.split(members, ends)
            parts["validation"].append(held_out)
            parts["test"].append(tested)
            parts["train"].append(trained)
        shuffled = {which: whole.take(generator.permutation(np.concatenate(parts[which]))) for which in SPLITS}
        return cls(
            name=name,
            classes=tuple(classes),
            inputs=tuple(specs),
            sources=dict(sources or {}),
            task=task,
            **shuffled,
        )


class DataInfo(Document):
    """The document `data.json`: the facts of a data set that later stages need besides its splits.

    Args:
        name: name of the data set.
        classes: names of the network's outputs, by index; in classification these are the classes.
        inputs: specifications of the inputs of one example.
        sizes: number of examples of each split.
        digests: SHA-256 of each split's values.
        sources: SHA-256 of the files that the data were read from, by name.
        class_counts: number of examples of each split, by class; empty where the task has no groups of examples, or
            the data no labels. See `decided`.
        task: settings of the task of a network for this data.
        labelled: whether the examples have labels; left out of the file where they have.
        statistics: mean and standard deviation of the training split, where a network is trained on it from the start
            and the recipe gives none; None elsewhere, and left out of the file.
    """

    name: str
    classes: tuple[str, ...]
    inputs: tuple[InputField, ...]
    sizes: dict[SplitName, int]
    digests: dict[SplitName, str]
    sources: dict[str, str]
    class_counts: dict[SplitName, tuple[int, ...]] = Field(default={})
    task: TaskSettings = Classification()
    labelled: bool = True
    statistics: Statistics | None = None

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        usual = {"labelled": True, "statistics": None}
        return {name: value for name, value in values.items() if name not in usual or value != usual[name]}

    def decided(self, counts: Mapping[SplitName, tuple[int, ...]]) -> DataInfo:
        """The facts with the float network's decisions in place of labels; the same where the data have labels.

        Args:
            counts: number of examples of a split by the class that float decides for; empty where the task has none.
        """
        if self.labelled:
            return self
        return self.model_copy(update={"class_counts": {which: held for which, held in counts.items() if held}})

    @property
    def coverage(self) -> dict[SplitName, Coverage]:
        """The classes of which each split holds too few examples."""
        task = task_of(self.task)
        return {which: task.coverage(counts, self.classes) for which, counts in self.class_counts.items()}

    @property
    def gaps(self) -> tuple[str, ...]:
        """The gaps in the coverage of all splits, in words; empty where they hold enough of every class."""
        return tuple(line for which in self.coverage for line in self.gaps_of(which))

    def gaps_of(self, which: SplitName) -> tuple[str, ...]:
        """The gaps in the coverage of one split, in words."""
        covered = self.coverage.get(which)
        return () if covered is None else covered.lines(which, by_float=not self.labelled)


def describe(data: DataSet, task: TaskSettings | None = None, *, fit: bool = False) -> DataInfo:
    """The facts of a data set that go into data.json.

    Args:
        data: data set.
        task: settings of the task in the recipe; the defaults if None.
        fit: whether the statistics of the training split are among the facts.

    Raises:
        DataError: the data are for another task than the recipe asks for.
    """
    recipe_task = task_named(data.task) if task is None else task_of(task)
    if recipe_task.name != data.task and not takes_any_data(recipe_task.settings):
        raise DataError(
            f"data set {data.name}: expected data for {recipe_task.name}, as task.kind says, found data for "
            f'{data.task}; set task.kind, or say task="{recipe_task.name}" where the DataSet is made'
        )
    return DataInfo(
        name=data.name,
        classes=data.classes,
        inputs=with_shared_names(
            data.inputs,
            [{name: raw.shape[1:] for name, raw in data.split(which).inputs.items()} for which in SPLITS],
        ),
        sizes={which: len(data.split(which)) for which in SPLITS},
        digests={which: data.split(which).digest() for which in SPLITS},
        sources=data.sources,
        class_counts={
            which: counts
            for which in SPLITS
            if (labels := data.split(which).labels) is not None
            and (counts := recipe_task.counts(labels, outputs=len(data.classes)))
        },
        task=recipe_task.fit_settings(data.train.labels, names=data.classes),
        labelled=data.labelled,
        statistics=fit_statistics(data.train.inputs[data.inputs[0].name], data.inputs[0]) if fit else None,
    )


def write_info(path: Path, info: DataInfo) -> None:
    """Write data.json; the same facts give the same bytes."""
    path.write_text(json.dumps(info.model_dump(mode="json"), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_info(path: Path) -> DataInfo:
    """Read data.json.

    Raises:
        DataError: the file cannot be read, or is not such a file.
    """
    try:
        return DataInfo.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else error
        raise DataError(
            f"{path}: expected the facts of a data set as the data stage writes them, found: {problem}"
        ) from error


def write_split(path: Path, split: Split) -> None:
    """Write a split as safetensors, keys `input.<name>` and `labels`, if any; the same split gives the same bytes."""
    if split.file is not None:
        link_or_copy(split.file, path)
        return
    labels = {} if split.labels is None else {_LABELS: split.labels}
    write_arrays(path, {**{f"{_INPUT}{name}": raw for name, raw in split.inputs.items()}, **labels})


def read_split(path: Path) -> Split:
    """Read a split that `write_split` wrote; its arrays are read-only memory maps where it is too large for memory.

    Raises:
        DataError: the file cannot be read, or is not such a file.
    """
    try:
        arrays = read_arrays(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: expected a split as the data stage writes it, found: {error}") from error
    labels = arrays.pop(_LABELS, None)
    if labels is not None and fits_in_memory(labels.nbytes):
        labels = np.array(labels)
    if strange := [key for key in arrays if not key.startswith(_INPUT)]:
        raise DataError(f"{path}: expected a split as the data stage writes it, found a tensor {strange[0]!a} in it")
    return Split(inputs={key.removeprefix(_INPUT): raw for key, raw in arrays.items()}, labels=labels)


def _stored(where: str, labels: NDArray[Any], task: Task) -> NDArray[Any]:
    task.check_targets(where, labels, exactly=False)
    return task.stored(labels)
