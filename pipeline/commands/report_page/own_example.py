"""Code that asks about one example of the reader's own, behind the code that replays the golden inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import assert_never

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.description import Serving
from pipeline.pages.report.document import Snippet

_DECIDES = 'print(serving["labels"][int(answers[0].argmax())])'


def own_example(serving: Serving) -> Snippet:
    """Write the lines that ask about one example, with names, dtypes and shapes of the inputs."""
    pictures = {_framed_as_served(spec, spec.decoding) for spec in serving.inputs if spec.decoding is not None}
    lines = ["import numpy as np", *(["from PIL import Image, ImageOps"] if pictures else []), ""]
    for place, (name, spec) in enumerate(zip(_names(serving), serving.inputs, strict=True)):
        lines += _values(name, spec, file="picture.png" if place == 0 else f"picture{place + 1}.png")
    text = ["Put these lines behind the code above.", *map(_described, serving.inputs)]
    if pictures:
        text.append("pip install pillow. The server also puts black behind what is transparent.")
    if False in pictures:
        text.append("`decoding` in serving.json says how the server resizes a picture and takes its centre.")
    return Snippet(
        name="One example of your own, in Python",
        text=" ".join(text),
        code="\n".join([*lines, *_questions(serving)]) + "\n",
    )


def _described(spec: InputSpec) -> str:
    bounds = f", values from {_number(spec.low)} to {_number(spec.high)}" if math.isfinite(spec.high - spec.low) else ""
    shape = " x ".join(map(str, spec.shape)) or "one value"
    dynamic = "; a request may choose the size of some axes" if spec.dynamic_axes else ""
    return f"Input {spec.name}: {spec.dtype}, {shape}{bounds}{dynamic}."


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:g}"


def _values(name: str, spec: InputSpec, *, file: str) -> Iterator[str]:
    if spec.decoding is None:
        yield f"{name} = np.zeros((1, {''.join(f'{size}, ' for size in spec.shape)}), np.{spec.dtype})  # your values"
        return
    yield f'picture = ImageOps.exif_transpose(Image.open("{file}")).convert("{spec.decoding.mode}")'
    yield from _framing(spec, spec.decoding)
    axes = "[np.newaxis, np.newaxis]" if spec.decoding.mode == "L" else ".transpose(2, 0, 1)[np.newaxis]"
    yield f"{name} = np.array(picture){axes}"


def _framed_as_served(spec: InputSpec, decoding: ImageDecoding) -> bool:
    """Whether the code frames a picture as the server does: what is resized covers the input, or lies within it."""
    wanted, result = _sizes(spec, decoding)
    covers = all(one >= other for one, other in zip(wanted, result, strict=True))
    match decoding.fit:
        case "squeeze" | "crop":
            return covers
        case "letterbox":
            return wanted == result
        case _:
            assert_never(decoding.fit)


def _sizes(spec: InputSpec, decoding: ImageDecoding) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height that a picture is resized to, covers or lies within, and of the input."""
    height, width = spec.shape[-2:]
    high, wide = decoding.resize_to or (height, width)
    return (wide, high), (width, height)


def _framing(spec: InputSpec, decoding: ImageDecoding) -> Iterator[str]:
    """Resize, and take the centre; the rules are those of `pipeline._handlers.framing`."""
    wanted, (width, height) = _sizes(spec, decoding)
    resample = f"Image.Resampling.{decoding.resize.upper()}"
    if not _framed_as_served(spec, decoding):
        yield f"picture = picture.resize(({width}, {height}), {resample})  # the server frames it otherwise: see above"
        return
    match decoding.fit:
        case "squeeze":
            yield f"picture = picture.resize({wanted}, {resample})"
        case "crop" if wanted[0] == wanted[1]:
            yield f"sides = [int({wanted[0]} * side / min(picture.size)) for side in picture.size]"
            yield f"picture = picture.resize(sides, {resample})"
        case "crop" | "letterbox":
            least = "min" if decoding.fit == "crop" else "max"
            yield f"ratio = {least}(picture.height / {wanted[1]}, picture.width / {wanted[0]})"
            yield "sides = [max(1, round(side / ratio)) for side in picture.size]"
            yield f"picture = picture.resize(sides, {resample})"
        case _:
            assert_never(decoding.fit)
    if decoding.fit == "letterbox":
        colour = decoding.fill * len(decoding.mode) if len(decoding.fill) == 1 else decoding.fill
        ground = colour if len(colour) > 1 else colour[0]
        yield f'canvas = Image.new("{decoding.mode}", ({width}, {height}), {ground})'
        yield f"canvas.paste(picture, (({width} - picture.width) // 2, ({height} - picture.height) // 2))"
        yield "picture = canvas"
    elif decoding.fit == "crop" or wanted != (width, height):
        yield f"left, top = round((picture.width - {width}) / 2), round((picture.height - {height}) / 2)"
        yield f"picture = picture.crop((left, top, left + {width}, top + {height}))"


def _names(serving: Serving) -> list[str]:
    """A variable per input."""
    count = len(serving.inputs)
    return ["values"] if count == 1 else [f"values_{number}" for number in range(count)]


def _questions(serving: Serving) -> Iterator[str]:
    names, kind = _names(serving), serving.runtime.kind
    match kind:
        case "onnxruntime":
            pairs = zip(serving.inputs, names, strict=True)
            inputs = ", ".join(f"{json.dumps(spec.name)}: {name}" for spec, name in pairs)
            yield f"answers = session.run(None, {{{inputs}}}){'' if serving.outputs else '[0]'}"
        case "torchscript":
            inputs = ", ".join(f"torch.from_numpy({name})" for name in names)
            yield "with torch.inference_mode():"
            yield f"    answers = model({inputs})"
        case _:
            assert_never(kind)
    yield _DECIDES if serving.task == "classification" else "print(answers)"
