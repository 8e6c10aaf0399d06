"""Splits that are mapped from a file give a network the same examples, and training the same weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split, read_split, write_split
from pipeline.engine import array_files
from pipeline.engine.stage import Silent
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.augment import Augmentation
from pipeline.training.distill import Teaching, distill, fine_tuning, read_teacher_logits, write_teacher_logits
from pipeline.training.examples import Examples, _in_order, to_examples
from pipeline.training.loop import build_network, train_network
from pipeline.training.loss import of_labels
from pipeline.training.settings import Objective, Optimization, Session, TrainingData, TrainingSettings

SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, 2)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="uint8", shape=(1, 3, 5), low=0, high=9),),
    labels=("a", "b"),
)
MOVES = Augmentation(horizontal_flip=True, shift=1)


def _split(folder: Path, *, mapped: bool) -> Split:
    """A split that was read from a file, as a machine with enough memory reads it, or as one without."""
    raw = np.random.default_rng(0).integers(0, 10, (257, 1, 3, 5), dtype=np.uint8)
    write_split(folder / "split", Split(inputs={"x": raw}, labels=(raw[:, 0, 1, 1] > 4).astype(np.int64)))
    with pytest.MonkeyPatch.context() as patch:
        if mapped:
            patch.setattr(array_files, "memory_bytes", lambda: 10_000)
        split = read_split(folder / "split")
    assert isinstance(split.inputs["x"], np.memmap) is mapped
    assert not isinstance(split.labels, np.memmap), "labels are small"
    return split


def test_batches_are_the_same(tmp_path: Path) -> None:
    read, mapped = (to_examples(SPEC, _split(tmp_path, mapped=mapped), torch.device("cpu")) for mapped in (False, True))
    assert isinstance(read.inputs[0], Tensor)
    assert not isinstance(mapped.inputs[0], Tensor)
    indices = torch.randperm(257)[:50]
    for moves in (None, MOVES.draw(50)):
        [expected], [batch] = read.take(indices, moves), mapped.take(indices, moves)
        assert torch.equal(batch, expected)
        assert batch.stride() == expected.stride()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_pictures_are_copied_as_torch_would(channels: int, dtype: type[np.generic]) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, channels, 6, 5)).astype(dtype)
    indices = torch.tensor([7, 0, 19, 7])
    for layout in (torch.channels_last, torch.contiguous_format):
        expected = torch.from_numpy(values)[indices].clone(memory_format=layout)
        for inputs in (torch.from_numpy(values), values):
            examples = Examples(
                inputs=(inputs,), labels=None, pictures=(True,), device=torch.device("cpu"), layout=layout
            )
            [batch] = examples.take(indices)
            assert torch.equal(batch, expected)
            assert batch.is_contiguous(memory_format=layout)
            if channels > 1:
                assert batch.stride() == expected.stride()


@pytest.mark.parametrize(("side", "size"), [(28, 500), (224, 111), (9000, 1)])
def test_evaluation_takes_fewer_examples_where_they_are_large(side: int, size: int) -> None:
    pictures = torch.zeros(1).expand(600, 3, side, side)
    examples = Examples(inputs=(pictures,), labels=None, pictures=(True,), device=torch.device("cpu"))
    assert len(_in_order(examples)[0]) == size


def _trained(folder: Path, *, mapped: bool) -> list[Tensor]:
    folder.mkdir()
    split, network = _split(folder, mapped=mapped), build_network(SPEC, seed=0)
    train_network(
        SPEC,
        network,
        data=TrainingData(task=ClassificationTask(), train=split, validation=split),
        settings=TrainingSettings(
            epochs=2,
            batch_size=32,
            optimization=Optimization(optimizer="adamw", learning_rate=0.01, weight_decay=0.0, schedule="one-cycle"),
            augmentation=MOVES,
            device="cpu",
        ),
        objective=Objective(loss=of_labels(partial(F.cross_entropy, label_smoothing=0.1))),
        session=Session(scratch=folder, reporter=Silent()),
    )
    return list(network.state_dict().values())


def test_training_gives_the_same_weights(tmp_path: Path) -> None:
    read, mapped = (_trained(tmp_path / str(mapped), mapped=mapped) for mapped in (False, True))
    assert all(map(torch.equal, read, mapped))


def test_fine_tuning_gives_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for mapped in (False, True):
        folder = tmp_path / str(mapped)
        folder.mkdir()
        split, network = _split(folder, mapped=mapped), build_network(SPEC, seed=1)
        teacher = build_network(SPEC, seed=0).eval()
        write_teacher_logits(folder / "teacher", SPEC, teacher, split, augmentation=MOVES, device="cpu")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(array_files, "memory_bytes", lambda mapped=mapped: 0 if mapped else 2**40)
            answers = read_teacher_logits(folder / "teacher")
        distill(
            SPEC,
            network,
            data=TrainingData(task=ClassificationTask(), train=split, validation=split),
            teaching=Teaching(
                answers=answers, temperature=4.0, label_weight=0.5, criterion=F.cross_entropy, metric="accuracy"
            ),
            settings=fine_tuning(epochs=1, batch_size=32, learning_rate=0.01, augmentation=MOVES, seed=0, device="cpu"),
            session=Session(scratch=folder, reporter=Silent(), purpose="fine-tune slim"),
        )
        weights.append(list(network.state_dict().values()))
    assert all(map(torch.equal, *weights))
