"""A training on augmented pictures: bit for bit the same after an interruption, and refused where it means nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.dataset import Split
from pipeline.errors import UsageError
from pipeline.models.preprocess import standardize
from pipeline.models.spec import ModelSpec
from pipeline.training.augment import Augmentation, require_pictures
from pipeline.training.freeze import Freezing
from pipeline.training.mixing import Mixing
from pipeline.training.settings import TrainingData
from pipeline.training.transforms import Transforms
from tests.tiny_training import TASK, Interrupted, same, settings, train

PICTURE = InputSpec(name="image", dtype="uint8", shape=(3, 12, 10), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
TABLE = InputSpec(name="x", dtype="float32", shape=(4,), low=-9, high=9)
ALL = Augmentation(
    horizontal_flip=True,
    shift=1,
    transforms=Transforms(
        rotation=20.0,
        crop=(0.5, 1.0),
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.1,
        rand_augment=2,
        erasing=0.5,
    ),
    mixing=Mixing(mixup=0.4, cutmix=1.0),
)
SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 2)
    ),
    preprocess=partial(standardize, scale=1 / 255, mean=(0.5,), std=(0.5,), shape=(3, 12, 10)),
    inputs=(PICTURE,),
    labels=("dark", "bright"),
)


def pictures(seed: int, count: int) -> Split:
    """Dark and bright pictures."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    raw = generator.integers(0, 128, (count, 3, 12, 10)) + 100 * labels[:, None, None, None]
    return Split(inputs={"image": raw.astype(np.uint8)}, labels=labels)


DATA = TrainingData(task=TASK, train=pictures(1, 96), validation=pictures(2, 40))


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": ALL},
        {"augmentation": ALL, "freezing": Freezing(names=("0", "1"), unfreeze_after={"0": 1})},
        {"augmentation": ALL, "mixed_precision": "bf16", "ema_decay": 0.9},
    ],
)
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    training = settings(epochs=3, **changes)
    whole, _ = train(tmp_path / "whole", training, data=DATA, spec=SPEC)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", training, data=DATA, spec=SPEC, reporter=Interrupted(5))
    parts, trained = train(tmp_path / "parts", training, data=DATA, spec=SPEC)
    assert same(whole, parts)
    assert len(trained.epochs) == 3


class Watched(nn.Linear):
    """A layer that notes what it is given while it is trained."""

    seen: ClassVar[list[float]] = []

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, 360) to (B, 2)."""
        if self.training and values.requires_grad is False and len(values) == 96:
            self.seen.append(float(values.sum()))
        return super().forward(values)


def test_a_line_search_sees_the_same_pictures_in_all_its_iterations(tmp_path: Path) -> None:
    Watched.seen.clear()
    optimization = {"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant", "weight_decay": 0.0}
    training = settings(optimization, epochs=2, batch_size=96, augmentation=ALL)
    flat = replace(SPEC, build=lambda: nn.Sequential(nn.Flatten(), Watched(360, 2)))
    train(tmp_path / "run", training, data=DATA, spec=flat)
    assert len(Watched.seen) > 4
    assert len(set(Watched.seen)) == 2, "one look an epoch"


def test_it_is_still_learned_from(tmp_path: Path) -> None:
    moderate = Augmentation(transforms=Transforms(rotation=10.0, crop=(0.7, 1.0)), mixing=Mixing(mixup=0.2))
    _, trained = train(tmp_path / "run", settings(epochs=6, augmentation=moderate), data=DATA, spec=SPEC)
    assert trained.final.score > 0.9


@pytest.mark.parametrize(
    ("augmentation", "inputs", "said"),
    [
        (
            Augmentation(transforms=Transforms(rotation=3.0, erasing=0.1)),
            (TABLE,),
            r"augmentation.rotation: expected an input of shape .* found x float32 \(4,\); leave rotation and erasing",
        ),
        (
            Augmentation(transforms=Transforms(brightness=0.3)),
            (InputSpec(name="p", dtype="float32", shape=(3, 8, 8), low=0, high=1),),
            r"train.augmentation.brightness: expected pictures of bytes \(uint8\), found p float32 \(3, 8, 8\)",
        ),
        (
            Augmentation(transforms=Transforms(saturation=0.3)),
            (InputSpec(name="p", dtype="uint8", shape=(1, 8, 8), low=0, high=255),),
            r"train.augmentation.saturation: expected pictures of 3 channels, found p uint8 \(1, 8, 8\)",
        ),
        (
            Augmentation(transforms=Transforms(rand_augment=1)),
            (InputSpec(name="p", dtype="uint8", shape=(2, 8, 8), low=0, high=255),),
            r"train.augmentation.rand_augment: expected pictures of 1 or 3 channels",
        ),
        (
            Augmentation(mixing=Mixing(cutmix=1.0)),
            (PICTURE, TABLE),
            r"train.augmentation.cutmix: expected pictures \(C, H, W\) alone, for nothing else can be mixed",
        ),
        (
            Augmentation(shift=2),
            (TABLE,),
            r"train.shift: expected an input of shape \(C, H, W\), found x \(4,\); set it 0",
        ),
    ],
)
def test_what_means_nothing_is_refused_by_name(
    augmentation: Augmentation, inputs: tuple[InputSpec, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        require_pictures(augmentation, inputs, section="train")
    require_pictures(Augmentation(), inputs, section="train")


def test_what_it_changes_is_named_in_the_order_in_which_it_is_done() -> None:
    assert ALL.keys == (
        "horizontal_flip", "shift", "rotation", "crop", "brightness", "contrast", "saturation", "hue", "rand_augment",
        "erasing", "mixup", "cutmix",
    )  # fmt: skip
    assert Augmentation().keys == ()


def test_pictures_that_nothing_changes_are_the_same_objects() -> None:
    values = (torch.ones(2, 3, 4, 4),)
    assert Augmentation(horizontal_flip=True).apply(values, (True,)) == (values, None)
