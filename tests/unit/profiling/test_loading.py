"""Each way in which pictures are changed can be left out by the name of its setting."""

from __future__ import annotations

from pipeline.profiling.loading import without
from pipeline.training.augment import Augmentation
from pipeline.training.mixing import Mixing
from pipeline.training.transforms import Transforms

ALL = Augmentation(
    horizontal_flip=True,
    shift=2,
    transforms=Transforms(
        rotation=5, crop=(0.5, 1), brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, rand_augment=2, erasing=0.1
    ),
    mixing=Mixing(mixup=0.2, cutmix=1.0),
)


def test_one_way_is_left_out_and_the_others_stay() -> None:
    names = set()
    for key in ALL.keys:
        name, rest = without(ALL, key)
        assert set(rest.keys) == set(ALL.keys) - {key}
        names.add(name)
    assert {"train.shift", "train.augmentation.rand_augment", "train.augmentation.cutmix"} < names
    assert len(names) == len(ALL.keys) == 12
