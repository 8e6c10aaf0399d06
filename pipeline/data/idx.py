"""The IDX format of the MNIST family of data sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

# The third byte stands for uint8, the fourth is the number of axes.
_IMAGES_MAGIC = 0x0803
_LABELS_MAGIC = 0x0801


def parse(content: bytes, where: str) -> NDArray[np.uint8]:
    """Read IDX bytes: a magic number, sizes as big-endian 32-bit integers, then uint8 values.

    Args:
        content: bytes of a file of images or labels.
        where: name of the file, for messages.

    Returns:
        (N, H, W) images or (N,) labels; read-only, a view of `content`.

    Raises:
        DataError: the magic number is another one, or the length is not what the sizes say.
    """
    axes = {_IMAGES_MAGIC: 3, _LABELS_MAGIC: 1}.get(int.from_bytes(content[:4], "big")) if len(content) >= 4 else None
    if axes is None:
        raise DataError(
            f"{where}: expected IDX magic number 0x{_IMAGES_MAGIC:08x} or 0x{_LABELS_MAGIC:08x}, "
            f"found 0x{content[:4].hex()}"
        )
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) < start or len(content) != expected:
        raise DataError(f"{where}: expected {expected} bytes for shape {shape}, found {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
