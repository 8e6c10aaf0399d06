"""What adds to the time of a load is measured by leaving it out, by the name of its setting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.stage import Silent
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.profiling.document import Loading
from pipeline.profiling.loading import measure_loading, without
from pipeline.training.augment import Augmentation
from pipeline.training.loop import build_network
from pipeline.training.loss import of_labels
from pipeline.training.mixing import Mixing
from pipeline.training.run import started
from pipeline.training.settings import Objective, Session, TrainingData
from pipeline.training.transforms import Transforms
from tests.tiny_training import TASK, settings

ALL = Augmentation(
    horizontal_flip=True,
    shift=2,
    transforms=Transforms(
        rotation=5, crop=(0.5, 1), brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, rand_augment=2, erasing=0.1
    ),
    mixing=Mixing(mixup=0.2, cutmix=1.0),
)
SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="uint8", shape=(3, 16, 16), low=0, high=255),),
    labels=("a", "b"),
)


def test_one_way_is_left_out_and_the_others_stay() -> None:
    names = set()
    for key in ALL.keys:
        name, rest = without(ALL, key)
        assert set(rest.keys) == set(ALL.keys) - {key}
        names.add(name)
    assert {"train.shift", "train.augmentation.rand_augment", "train.augmentation.cutmix"} < names
    assert len(names) == len(ALL.keys) == 12


def measured(folder: Path, pictures: Split, augmentation: Augmentation) -> Loading:
    with started(
        SPEC,
        build_network(SPEC, seed=0),
        data=TrainingData(task=TASK, train=pictures, validation=pictures),
        settings=settings(augmentation=augmentation),
        objective=Objective(loss=of_labels(nn.CrossEntropyLoss())),
        session=Session(scratch=folder, reporter=Silent()),
    ) as run:
        return measure_loading(run)


def test_settings_of_augmentation_and_a_mapped_file_are_measured(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (64, 3, 16, 16), dtype=np.uint8)
    labels = np.arange(64) % 2
    in_memory = Split(inputs={"x": values}, labels=labels)
    changed = measured(tmp_path, in_memory, Augmentation(shift=1, transforms=Transforms(rand_augment=4)))
    assert set(changed.augmentation_shares) == {"train.shift", "train.augmentation.rand_augment"}
    assert 0 < changed.augmentation_shares["train.augmentation.rand_augment"] < 1
    assert changed.mapping_share == 0, "nothing is mapped"

    np.save(tmp_path / "pictures.npy", values)
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    from_disk = measured(tmp_path, Split(inputs={"x": mapped}, labels=labels), Augmentation())
    assert from_disk.augmentation_shares == {}
    assert 0 <= from_disk.mapping_share < 1
