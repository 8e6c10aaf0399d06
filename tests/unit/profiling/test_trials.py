"""Other settings are tried where they mean something, and their gain is what it is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipeline.engine.stage import Silent
from pipeline.profiling.trials import Cost, Trainer, changes, try_otherwise
from pipeline.training import mixed_precision
from pipeline.training.settings import TrainingSettings
from tests.reporters import Lines
from tests.tiny_training import settings

CPU = torch.device("cpu")
COST = Cost(step_s=0.01, grown_bytes=0, optimizer_share=0.1)


@contextmanager
def nothing(_settings: TrainingSettings) -> Iterator[Iterator[int]]:
    yield iter(())


def trainer(examples: int = 400, **changed: Any) -> Trainer:
    return Trainer(steps=nothing, settings=settings(**changed), device=CPU, examples=examples)


def names(subject: Trainer, cost: Cost = COST, *, threads: int = 2, cores: int = 2) -> list[str]:
    return [change.setting for change in changes(subject, cost, threads=threads, cores=cores)]


@pytest.fixture(autouse=True)
def _computes_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "computes_bfloat16", lambda: True)


def test_what_can_be_changed_is_tried() -> None:
    assert names(trainer()) == [
        "OMP_NUM_THREADS=1",
        'train.mixed_precision = "auto"',
        "train.batch_size = 64",
        "train.batch_size = 128",
        "train.batch_size = 256",
    ]
    assert names(trainer(), threads=1)[0] == "OMP_NUM_THREADS=2"
    assert names(trainer(mixed_precision="bf16"), cores=2)[1] == 'train.mixed_precision = "off"'
    assert names(trainer(activation_checkpointing=("0",)))[0] == "train.activation_checkpointing = []"
    much = replace(COST, optimizer_share=0.4)
    assert names(trainer(), much)[-1] == "train.accumulate = 4"


def test_what_means_nothing_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "computes_bfloat16", lambda: False)
    assert names(trainer(examples=40), threads=1, cores=1) == [], "no larger batch, thread or number format"
    lbfgs = {"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant"}
    assert names(trainer(optimization=lbfgs), replace(COST, optimizer_share=0.9)) == ["OMP_NUM_THREADS=1"]


@contextmanager
def whole(changed: TrainingSettings) -> Iterator[Iterator[int]]:
    """A training whose steps take as long whatever the size of the batch."""

    def steps() -> Iterator[int]:
        while True:
            time.sleep(0.003)
            yield changed.batch_size

    yield steps()


@contextmanager
def by_example(changed: TrainingSettings) -> Iterator[Iterator[int]]:
    """A training whose steps take as long as they have examples."""

    def steps() -> Iterator[int]:
        while True:
            time.sleep(0.0003 * changed.batch_size)
            yield changed.batch_size

    yield steps()


def test_larger_batches_gain_where_a_step_takes_as_long_for_them() -> None:
    subject = Trainer(steps=whole, settings=settings(batch_size=8), device=CPU, examples=32, turn_s=0.0)
    gains = {trial.setting: trial.gain for trial in try_otherwise(subject, COST, reporter=Silent())}
    assert gains["train.batch_size = 32"] > 2 > gains['train.mixed_precision = "auto"']
    subject = replace(subject, steps=by_example)
    gains = {trial.setting: trial.gain for trial in try_otherwise(subject, COST, reporter=Silent())}
    assert gains["train.batch_size = 32"] < 2


def test_what_takes_too_long_or_too_much_is_left_out() -> None:
    subject = Trainer(steps=whole, settings=settings(batch_size=8), device=CPU, examples=16, turn_s=0.0)
    slow = try_otherwise(subject, replace(COST, step_s=1.5), reporter=Silent())
    assert {trial.setting: trial.left_out for trial in slow}["train.batch_size = 16"] == "a step would take some 3 s"
    large = try_otherwise(subject, replace(COST, grown_bytes=1 << 50), reporter=Silent())
    (trial,) = [trial for trial in large if trial.kind == "batch size"]
    assert trial.left_out.startswith("it would take some 2251799.8 of the ")
    assert trial.gain == 0


def test_a_compiled_training_is_not_tried_otherwise() -> None:
    said = Lines()
    assert try_otherwise(trainer(compile=True), COST, reporter=said) == ()
    assert "train.compile takes half a minute" in said.said[0]


def test_a_batch_that_takes_too_much_memory_after_all_is_left_out() -> None:
    @contextmanager
    def large(changed: TrainingSettings) -> Iterator[Iterator[int]]:
        if changed.batch_size > 8:
            torch.empty(1 << 60, dtype=torch.uint8)
        yield itertools.repeat(8)

    subject = Trainer(steps=large, settings=settings(batch_size=8), device=CPU, examples=16, turn_s=0.0)
    tried = {trial.setting: trial for trial in try_otherwise(subject, COST, reporter=Silent())}
    assert tried["train.batch_size = 16"].left_out == "there is too little memory"
    assert tried['train.mixed_precision = "auto"'].gain > 0
