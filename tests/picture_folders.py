"""Folders of small picture files that tests write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data.dataset import DataSet
from pipeline.data.pictures import load_pictures
from pipeline.engine.stage import Reporter, Silent
from pipeline.recipe.data import Data
from pipeline.recipe.task import Classification, TaskSettings


def pixels(seed: int, height: int = 9, width: int = 7) -> NDArray[np.uint8]:
    """The pixels of a picture, (H, W, 3), another one for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(seed: int, kind: str = "PNG", **size: int) -> bytes:
    """A picture file, another one for each seed."""
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, **size)).save(stream, kind)
    return stream.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder, and return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def two_classes(folder: Path, count: int = 20) -> Path:
    """Write `pictures/cat` and `pictures/dog` with so many pictures each into a folder, and return it."""
    write(folder / "pictures", {f"cat/{index}.png": picture(index) for index in range(count)})
    write(folder / "pictures", {f"dog/{index}.jpg": picture(1000 + index, "JPEG") for index in range(count)})
    return folder


def load(
    folder: Path,
    *,
    task: TaskSettings | None = None,
    preset: str | None = None,
    reporter: Reporter | None = None,
    **keys: Any,
) -> DataSet:
    """Load `folder/pictures` as a recipe with these keys does, with its run directory in `folder/run`."""
    scratch = folder / "run" / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    return load_pictures(
        Data.model_validate({"folder": "pictures", "size": [6, 5], **keys}),
        folder,
        task=task or Classification(),
        preset=preset,
        scratch=scratch,
        cache=folder / "run" / "cache",
        reporter=reporter or Silent(),
    )
