"""How a decoded picture gets the height and width of an input: it is resized, and then cropped or framed.

The transforms for evaluation of torchvision and timm give the same pixels from Pillow's pictures, to the last bit. The
rules, and how each of them rounds, are those of torchvision 0.28 (`transforms/functional.py`: `resize`,
`_compute_resized_output_size`, `center_crop`) and of timm 1.0 (`data/transforms.py`: `ResizeKeepRatio`,
`CenterCropOrPad`; `data/transforms_factory.py`: `transforms_imagenet_eval`). On Pillow's pictures, every filter but
`nearest` always averages over all pixels that become one ("antialias").
"""

from __future__ import annotations

from typing import Literal, assert_never

from PIL import Image

# How a picture is resized before its centre is taken: without keeping its aspect ratio; so that it covers the size that
# is asked for; or so that it lies within that size.
Fit = Literal["squeeze", "crop", "letterbox"]
Resize = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

_FILTER = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resized_size(size: tuple[int, int], fit: Fit, wanted: tuple[int, int]) -> tuple[int, int]:
    """Compute the size of a picture after resizing and before its centre is taken.

    Args:
        size: width and height of the picture, in pixels.
        fit: how the picture is resized.
        wanted: width and height that the picture is resized to, covers, or lies within.

    Returns:
        Width and height, in pixels.
    """
    width, height = size
    match fit:
        case "squeeze":
            return wanted
        case "crop" if wanted[0] == wanted[1]:
            # The longer side is cut off to a whole number, as torchvision does, and timm where the size is a square.
            side = wanted[0]
            return (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
        case "crop":
            ratio = min(height / wanted[1], width / wanted[0])
        case "letterbox":
            ratio = max(height / wanted[1], width / wanted[0])
        case _:
            assert_never(fit)
    # timm rounds half to even. Of a very long picture it would leave no row, and Pillow would refuse that.
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def frame_picture(
    pixels: Image.Image, resized: tuple[int, int], result: tuple[int, int], *, resize: Resize, fill: tuple[int, ...]
) -> Image.Image:
    """Resize a picture, and take its centre; where the resized picture is smaller than the result, it gets a border.

    Args:
        pixels: picture of mode `L` or `RGB`.
        resized: width and height that it is resized to, by `resized_size`.
        result: width and height of the result.
        resize: name of Pillow's filter.
        fill: colour of the border: one value, or one for each channel.
    """
    if pixels.size != resized:
        pixels = pixels.resize(resized, _FILTER[resize])
    if resized == result:
        return pixels
    left, top = (centre_offset(*sizes) for sizes in zip(resized, result, strict=True))
    if resized[0] >= result[0] and resized[1] >= result[1]:
        return pixels.crop((left, top, left + result[0], top + result[1]))
    colour = fill * len(pixels.getbands()) if len(fill) == 1 else fill
    canvas = Image.new(pixels.mode, result, colour if len(colour) > 1 else colour[0])
    canvas.paste(pixels, (-left, -top))
    return canvas


def centre_offset(size: int, result: int) -> int:
    """Compute where the centre of a side begins; 0 or below where a border lies around it.

    Args:
        size: length of the side, in pixels.
        result: length of the centre, in pixels.
    """
    if size < result:
        return -((result - size) // 2)  # of an odd border, the larger part comes behind
    return round((size - result) / 2)  # half a pixel is rounded to the even number
