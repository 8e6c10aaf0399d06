"""The input that pictures become, the form in which they are stored, and the resizing between the two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.framing import frame_picture
from pipeline.errors import UsageError
from pipeline.presets import in_size, read_preset
from pipeline.recipe.data import Data

INPUT_NAME = "image"


def picture_input(data: Data, preset: str | None = None) -> InputSpec:
    """Return the input that the pictures of a folder become.

    Args:
        data: section of the recipe.
        preset: a published network whose input it is, save what the section sets; None where the recipe names none.

    Raises:
        UsageError: the recipe does not say the size, or its keys contradict each other.
    """
    settings: dict[str, Any] = {"mode": data.mode, "resize": data.resize, "fit": data.fit, "fill": data.fill}
    settings["resize_to"] = data.resize_to
    size = data.size
    if preset is not None:
        published = read_preset(preset).input_spec()
        assert published.decoding is not None
        size = size or (published.shape[1], published.shape[2])
        # Another size shows the same part of a picture.
        decoding = in_size(published, size).decoding
        settings |= {key: getattr(decoding, key) for key in settings.keys() - data.model_fields_set}
    if size is None:
        raise UsageError(
            "data.size: expected height and width of the network's input with data.folder, found none; set it, for "
            "example size = [224, 224]"
        )
    try:
        return InputSpec(
            name=INPUT_NAME,
            dtype="uint8",
            shape=(1 if settings["mode"] == "L" else 3, *size),
            low=0,
            high=255,
            decoding=ImageDecoding(**settings),
        )
    except ValueError as error:
        raise UsageError(f"data: {error}") from error


def resize_stored(pictures_NCHW: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Resize stored pictures to the size of an input, with the function that serves.

    Args:
        pictures_NCHW: stored pictures, uint8.
        spec: the network's input.

    Returns:
        Pictures (N, *spec.shape); the same array where nothing is to be resized.
    """
    if pictures_NCHW.shape[1:] == spec.shape:
        return pictures_NCHW
    return np.stack([_resize(pixels_CHW, spec) for pixels_CHW in pictures_NCHW])


def _resize(pixels_CHW: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    assert spec.decoding is not None
    pixels = pixels_CHW[0] if len(pixels_CHW) == 1 else np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0))
    size = (spec.shape[2], spec.shape[1])
    # A stored picture was cropped or framed already.
    framed = frame_picture(Image.fromarray(pixels), size, size, resize=spec.decoding.resize, fill=spec.decoding.fill)
    return np.asarray(framed, dtype=np.uint8).reshape(*spec.shape[1:], -1).transpose(2, 0, 1)
