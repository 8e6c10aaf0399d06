"""Statistics of built-in data sets that networks are fed by. They lie apart from what fetches and reads the files."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.data import cifar10_files, fashion_mnist_files
from pipeline.recipe.model import Preprocessing
from pipeline.recipe.names import DataSetName

# Mean and standard deviation over the training pictures, on the scale 0 to 1; rows of the small sets are taken as they
# are.
PREPROCESSING: dict[DataSetName, Preprocessing] = {
    "fashion-mnist": Preprocessing(scale=1 / 255, mean=(0.2860,), std=(0.3530,)),
    "cifar-10": Preprocessing(scale=1 / 255, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "toy": Preprocessing(),
    "blobs": Preprocessing(),
}
# SHA-256 of the files that they are of, by name: a data set of the user's may have any name.
_SOURCES: dict[DataSetName, Mapping[str, str]] = {
    "fashion-mnist": fashion_mnist_files.SOURCES,
    "cifar-10": cifar10_files.SOURCES,
}


def own_preprocessing(sources: Mapping[str, str]) -> Preprocessing | None:
    """Return the preprocessing of a built-in data set; None for a data set of the user's.

    Args:
        sources: SHA-256 of the files that a data set was read from, by name.
    """
    return next((PREPROCESSING[name] for name, files in _SOURCES.items() if files == sources), None)
