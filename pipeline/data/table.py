"""The built-in data sets, one entry each: all that is asked of one by its name. Nothing heavy is imported to look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.data import fashion_mnist_files
from pipeline.recipe.model import Preprocessing
from pipeline.recipe.names import DataSetName

if TYPE_CHECKING:  # numpy is loaded with it
    from pipeline.data.dataset import DataSet


class Load(Protocol):
    """How a data set is loaded."""

    def __call__(self, *, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
        """The data set, its contents checked against checksums in our own source: no build watches its files.

        Args:
            validation_size: examples held out of the publisher's training examples.
            seed: of the split.
            folder: where its files lie, if they are not to be looked for.
            log: told what is fetched.

        Raises:
            DataError: the files cannot be had, or nothing is left to train on.
        """


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """What is true of a built-in data set.

    Args:
        title: its name for people.
        load: gives it, fetched if need be.
        locate: the folder where its files already lie, intact, without fetching anything; None if there is none.
        remedy: what a person may do where there is none, as `pipeline doctor` says it.
        preprocessing: of its values, where the recipe says nothing: its own statistics.
    """

    title: str
    load: Load
    locate: Callable[[], Path | None]
    remedy: Callable[[], str]
    preprocessing: Preprocessing


def _load_fashion_mnist(*, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
    from pipeline.data import fashion_mnist

    return fashion_mnist.load(validation_size=validation_size, seed=seed, folder=folder, log=log)


BUILT_IN: dict[DataSetName, BuiltIn] = {
    "fashion-mnist": BuiltIn(
        title="Fashion-MNIST",
        load=_load_fashion_mnist,
        locate=fashion_mnist_files.locate,
        remedy=fashion_mnist_files.remedy,
        # Mean and standard deviation over the training pictures, on the scale 0 to 1.
        preprocessing=Preprocessing(scale=1 / 255, mean=(0.2860,), std=(0.3530,)),
    ),
}


def own_preprocessing(name: str) -> Preprocessing | None:
    """The preprocessing of a built-in data set; None for a data set of the user's.

    Args:
        name: of any data set.
    """
    return next((facts.preprocessing for known, facts in BUILT_IN.items() if known == name), None)
