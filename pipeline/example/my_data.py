"""Your data: a function that returns a pipeline.DataSet. The recipe names it as `my_data:load`."""

from __future__ import annotations

import numpy as np

from pipeline import DataSet, ImageDecoding, InputSpec


def load(seed: int = 0) -> DataSet:
    """Handwritten digits that come with scikit-learn: 1,797 grey pictures of 8x8.

    Args:
        seed: of the split in three, from `data.arguments` in the recipe.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this example reads scikit-learn's digits, and scikit-learn is not installed; "
            "run `pip install scikit-learn`, or load your own data here"
        ) from error
    digits = load_digits()
    # Values of 0 to 16 become those of a picture file, 0 to 255, so that the server takes PNG and JPEG files.
    pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, np.newaxis]
    picture = InputSpec(name="image", dtype="uint8", shape=(1, 8, 8), low=0, high=255, decoding=ImageDecoding(mode="L"))
    return DataSet.from_arrays(
        "digits",
        {"image": pictures},
        digits.target,
        classes=[str(digit) for digit in range(10)],
        specs=[picture],
        seed=seed,
        validation=0.3,
        test=0.2,
    )
