"""The table of built-in data sets, with one entry for each. Importing it loads no heavy library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.data import cifar10_files, fashion_mnist_files
from pipeline.recipe.names import DataSetName

if TYPE_CHECKING:  # numpy is loaded with it
    from pipeline.data.dataset import DataSet


class Load(Protocol):
    """The function that loads a data set."""

    def __call__(self, *, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
        """Load the data set. Checksums in our own source guard its contents, so no build watches its files.

        Args:
            validation_size: number of examples held out of the publisher's training examples.
            seed: seed of the split.
            folder: folder of its files; they are searched for if None.
            log: called with a line of text for each file or package that is fetched.

        Raises:
            DataError: the files cannot be found or fetched, or nothing is left to train on.
        """


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """The facts of a built-in data set.

    Args:
        title: name of the data set for people.
        load: function that loads the data set, and fetches it if need be.
        locate: function that finds the folder where its files already lie intact, without fetching anything; it returns
            None if there is none.
        remedy: function that says what a person may do where there is none.
        needed: whether `pipeline doctor` asks for it, because the default recipe needs it.
    """

    title: str
    load: Load
    locate: Callable[[], Path | None]
    remedy: Callable[[], str]
    needed: bool = False


def _load_fashion_mnist(*, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
    from pipeline.data import fashion_mnist

    return fashion_mnist.load(validation_size=validation_size, seed=seed, folder=folder, log=log)


def _load_cifar10(*, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
    from pipeline.data import cifar10

    return cifar10.load(validation_size=validation_size, seed=seed, folder=folder, log=log)


def _load_toy(*, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
    from pipeline.data import small_sets

    return small_sets.load_toy(validation_size=validation_size, seed=seed, folder=folder, log=log)


def _load_blobs(*, validation_size: int, seed: int, folder: Path | None, log: Callable[[str], None]) -> DataSet:
    from pipeline.data import small_sets

    return small_sets.load_blobs(validation_size=validation_size, seed=seed, folder=folder, log=log)


def _nowhere() -> Path | None:
    """The folder of a data set that is made and not read."""
    return None


def _nothing_to_do() -> str:
    return "nothing to do: it is made, and has no files"


BUILT_IN: dict[DataSetName, BuiltIn] = {
    "fashion-mnist": BuiltIn(
        title="Fashion-MNIST",
        load=_load_fashion_mnist,
        locate=fashion_mnist_files.locate,
        remedy=fashion_mnist_files.remedy,
        needed=True,
    ),
    "cifar-10": BuiltIn(title="CIFAR-10", load=_load_cifar10, locate=cifar10_files.locate, remedy=cifar10_files.remedy),
    "toy": BuiltIn(title="toy", load=_load_toy, locate=_nowhere, remedy=_nothing_to_do),
    "blobs": BuiltIn(title="blobs", load=_load_blobs, locate=_nowhere, remedy=_nothing_to_do),
}
