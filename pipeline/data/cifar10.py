"""CIFAR-10 as a DataSet: 32x32 colour pictures of ten classes."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.cifar10_files import FILE, NAME, ensure
from pipeline.data.dataset import DataSet, Split
from pipeline.data.held_out import held_out
from pipeline.engine.artifacts import digest_file
from pipeline.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6))
TEST = ("cifar-10-batches-bin/test_batch.bin",)
SHAPE = (3, 32, 32)
# A record is one byte of the class, then the picture's red, green and blue values, row by row.
_RECORD_BYTES = 1 + 3 * 32 * 32


def load(
    *, validation_size: int, seed: int, folder: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> DataSet:
    """Load CIFAR-10 in three splits; the test split is the publisher's.

    Args:
        validation_size: number of examples held out of the publisher's 50,000 training examples.
        seed: seed of the split.
        folder: folder of the archive; it is searched for if None.
        log: called with a line of text before the archive is fetched.

    Raises:
        DataError: the archive cannot be found or fetched, or nothing is left to train on.
    """
    archive = ensure(folder, log=log)
    pictures, labels = read_batches(archive, TRAIN)
    test_pictures, test_labels = read_batches(archive, TEST)
    trained, kept = held_out(len(labels), validation_size, seed=seed)
    image = InputSpec(name="image", dtype="uint8", shape=SHAPE, low=0, high=255, decoding=ImageDecoding(mode="RGB"))
    return DataSet(
        name=NAME,
        train=Split(inputs={"image": pictures[trained]}, labels=labels[trained]),
        validation=Split(inputs={"image": pictures[kept]}, labels=labels[kept]),
        test=Split(inputs={"image": test_pictures}, labels=test_labels),
        classes=CLASSES,
        inputs=(image,),
        sources={FILE: digest_file(archive)},
    )


def read_batches(archive: Path, members: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read some members of the archive.

    Args:
        archive: gzipped tar archive; nothing of it is written to the disk.
        members: names of the members, in their order.

    Returns:
        Pictures (N, 3, 32, 32) and classes (N,).

    Raises:
        DataError: a member is missing or does not hold whole records.
    """
    records = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in members:
                stream = tar.extractfile(member)
                content = b"" if stream is None else stream.read()
                if not content or len(content) % _RECORD_BYTES:
                    raise DataError(
                        f"{archive}: expected {member} of records of {_RECORD_BYTES} bytes, found {len(content)} bytes"
                    )
                records.append(np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD_BYTES))
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise DataError(f"{archive}: expected the archive of CIFAR-10, found: {error}; remove it") from error
    values = np.concatenate(records)
    return np.ascontiguousarray(values[:, 1:]).reshape(-1, *SHAPE), values[:, 0].astype(np.int64)
