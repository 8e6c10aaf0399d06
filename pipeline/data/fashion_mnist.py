"""Fashion-MNIST as a DataSet: 28x28 grey pictures of clothes, ten classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.dataset import DataSet, Split
from pipeline.data.fashion_mnist_files import CONTENTS, NAME, SOURCES, ensure, read_checked
from pipeline.data.held_out import held_out
from pipeline.data.idx import parse

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(
    *, validation_size: int, seed: int, folder: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> DataSet:
    """Load Fashion-MNIST in three splits; the test split is the publisher's.

    Args:
        validation_size: number of examples held out of the publisher's 60,000 training examples.
        seed: seed of the split.
        folder: folder of the four files; they are searched for if None.
        log: called with a line of text for each attempt.

    Raises:
        DataError: the files cannot be found or fetched, or nothing is left to train on.
    """
    place = ensure(folder, log=log)
    raw = {name: read_checked(place / name) for name in CONTENTS}
    images, labels = (
        {part: parse(raw[f"{part}-{what}.gz"], f"{part}-{what}") for part in ("train", "t10k")}
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    trained, kept = held_out(len(labels["train"]), validation_size, seed=seed)

    def split(part: str, indices: NDArray[np.int64]) -> Split:
        return Split(inputs={"image": images[part][indices, np.newaxis]}, labels=labels[part][indices].astype(np.int64))

    image = InputSpec(name="image", dtype="uint8", shape=(1, 28, 28), low=0, high=255, decoding=ImageDecoding(mode="L"))
    return DataSet(
        name=NAME,
        train=split("train", trained),
        validation=split("train", kept),
        test=split("t10k", np.arange(len(labels["t10k"]))),
        classes=CLASSES,
        inputs=(image,),
        sources=dict(SOURCES),
    )
