"""The sheet of augmented pictures shows them as training sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.dataset import Split
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.training.augment import Augmentation
from pipeline.training.augmentation_sheet import draw_augmentation
from pipeline.training.mixing import Mixing
from pipeline.training.transforms import Transforms


def spec(channels: int) -> ModelSpec:
    picture = InputSpec(
        name="image",
        dtype="uint8",
        shape=(channels, 12, 10),
        low=0,
        high=255,
        decoding=ImageDecoding(mode="RGB" if channels == 3 else "L"),
    )
    return ModelSpec(name="m", build=nn.Identity, preprocess=ToFloat, inputs=(picture,), labels=("a", "b"))


def red(channels: int) -> Split:
    """Pictures whose first channel is full and whose others are empty."""
    values = np.zeros((20, channels, 12, 10), dtype=np.uint8)
    values[:, 0] = 255
    return Split(inputs={"image": values}, labels=np.zeros(20, dtype=np.int64))


def test_the_same_seed_draws_the_same_bytes_and_torchs_random_state_stays(tmp_path: Path) -> None:
    augmentation = Augmentation(
        shift=2, transforms=Transforms(rotation=30.0, brightness=0.3), mixing=Mixing(cutmix=1.0)
    )
    state = torch.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw_augmentation(tmp_path / name, spec(3), red(3), augmentation, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_colours_are_the_pictures_own(tmp_path: Path) -> None:
    for channels, colour in ((3, (255, 0, 0)), (1, (255, 255, 255))):
        path = tmp_path / f"{channels}.png"
        draw_augmentation(path, spec(channels), red(channels), Augmentation(horizontal_flip=True), seed=0)
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        assert (pixels == colour).all(axis=1).mean() > 0.5
