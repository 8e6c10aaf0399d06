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
    pictures = [spec.decoding for spec in serving.inputs if spec.decoding is not None]
    lines = ["import numpy as np", *(["from PIL import Image"] if pictures else []), ""]
    for name, spec in zip(_names(serving), serving.inputs, strict=True):
        lines += _values(name, spec)
    return Snippet(
        name="One example of your own, in Python",
        text=" ".join(
            [
                "Put these lines behind the code above.",
                *(_described(spec) for spec in serving.inputs),
                *(["pip install pillow."] if pictures else []),
                *(_framing(decoding) for decoding in pictures),
            ]
        ),
        code="\n".join([*lines, *_asked(serving)]) + "\n",
    )


def _described(spec: InputSpec) -> str:
    bounds = f", values from {spec.low:g} to {spec.high:g}" if math.isfinite(spec.high - spec.low) else ""
    shape = " x ".join(map(str, spec.shape)) or "one value"
    dynamic = "; a request may choose the size of some axes" if spec.dynamic_axes else ""
    return f"Input {spec.name}: {spec.dtype}, {shape}{bounds}{dynamic}."


def _framing(decoding: ImageDecoding) -> str:
    """Say what the server does besides with a picture."""
    text = "The server also turns a picture as its EXIF orientation says, and puts black behind what is transparent"
    match decoding.fit:
        case "squeeze":
            return f"{text}."
        case "crop" | "letterbox":
            return (
                f"{text}, and keeps the ratio of its sides ({decoding.fit}; see `decoding` in serving.json): resize "
                "and cut yours alike."
            )
        case _:
            assert_never(decoding.fit)


def _values(name: str, spec: InputSpec) -> Iterator[str]:
    if spec.decoding is None:
        yield f"{name} = np.zeros((1, {''.join(f'{size}, ' for size in spec.shape)}), np.{spec.dtype})  # your values"
        return
    height, width = spec.shape[-2:]
    resize = f"({width}, {height}), Image.Resampling.{spec.decoding.resize.upper()}"
    yield f'picture = Image.open("picture.png").convert("{spec.decoding.mode}").resize({resize})'
    axes = "[np.newaxis, np.newaxis]" if spec.decoding.mode == "L" else ".transpose(2, 0, 1)[np.newaxis]"
    converted = "" if spec.dtype == "uint8" else f".astype(np.{spec.dtype})"
    yield f"{name} = np.asarray(picture, np.uint8){axes}{converted}"


def _names(serving: Serving) -> list[str]:
    """A variable per input."""
    count = len(serving.inputs)
    return ["values"] if count == 1 else [f"values_{number}" for number in range(count)]


def _asked(serving: Serving) -> Iterator[str]:
    names, kind = _names(serving), serving.runtime.kind
    match kind:
        case "onnxruntime":
            pairs = zip(serving.inputs, names, strict=True)
            given = ", ".join(f"{json.dumps(spec.name)}: {name}" for spec, name in pairs)
            yield (
                f"answers = session.run(None, {{{given}}})[0]"
                if not serving.outputs
                else (f"answers = session.run(None, {{{given}}})")
            )
        case "torchscript":
            given = ", ".join(f"torch.from_numpy({name})" for name in names)
            yield "with torch.inference_mode():"
            yield f"    answers = model({given})"
        case _:
            assert_never(kind)
    yield _DECIDES if serving.task == "classification" else "print(answers)"
