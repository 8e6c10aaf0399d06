"""Statistics of built-in data sets that networks are fed by. They lie apart from what fetches and reads the files."""

from __future__ import annotations

from pipeline.recipe.model import Preprocessing
from pipeline.recipe.names import DataSetName

# Mean and standard deviation over the training pictures, on the scale 0 to 1.
PREPROCESSING: dict[DataSetName, Preprocessing] = {
    "fashion-mnist": Preprocessing(scale=1 / 255, mean=(0.2860,), std=(0.3530,)),
}


def own_preprocessing(name: str) -> Preprocessing | None:
    """Return the preprocessing of a built-in data set; None for a data set of the user's.

    Args:
        name: name of any data set.
    """
    return next((preprocessing for built_in, preprocessing in PREPROCESSING.items() if built_in == name), None)
