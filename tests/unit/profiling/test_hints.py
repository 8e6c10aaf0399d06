"""A hint is there where its figures are, and not where they are not."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.profiling.document import Loading, Recording, Surroundings, Trial, TrialKind
from pipeline.profiling.hints import inference_hints, training_hints
from tests.profiles import SURROUNDINGS, recording


def hints(
    steps: Recording | None = None,
    *trials: Trial,
    surroundings: Surroundings = SURROUNDINGS,
    **loading: Any,
) -> tuple[str, ...]:
    return training_hints(steps or recording(), surroundings, loading=Loading(**loading), trials=trials)


def trial(kind: TrialKind, setting: str, gain: float, **figures: Any) -> Trial:
    return Trial(**{"kind": kind, "setting": setting, "gain": gain, "rate": 100.0, "batch_size": 8, **figures})


def test_a_step_that_waits_for_augmentation_names_the_costliest_setting() -> None:
    waiting = recording(spans_ms={"read": 0.5, "augment": 3.5, "forward": 6.0})
    costs = {"train.augmentation.hue": 0.1, "train.augmentation.rand_augment": 0.75}
    (hint,) = hints(waiting, augmentation_shares=costs)
    assert hint.startswith("the step waits 40% for its data, 4.00 ms: 0.50 reading, 3.50 changing pictures; ")
    assert hint.endswith("without train.augmentation.rand_augment 75% less: leave it out, or make it less")
    assert hints(recording(spans_ms={"read": 0.5, "augment": 1.0, "forward": 8.5}), augmentation_shares=costs) == ()


def test_a_step_that_waits_for_the_disk_names_memory_and_the_size_of_the_data() -> None:
    waiting = recording(spans_ms={"read": 4.0, "augment": 0.1, "forward": 6.0})
    mapped = SURROUNDINGS.model_copy(update={"data": "mapped from a file of 31.0 GB"})
    (hint,) = hints(waiting, surroundings=mapped, mapping_share=0.8)
    assert hint.startswith(
        "the step waits 41% for its data, 4.10 ms: 4.00 reading, 0.10 changing pictures; from memory"
    )
    assert "from memory 80% less, but the examples are mapped from a file of 31.0 GB, more than a quarter" in hint
    assert hint.endswith("make them smaller (data.size)")
    assert hints(waiting, surroundings=mapped, mapping_share=0.1) == (), "memory would be no faster"
    assert hints(recording(), surroundings=mapped, mapping_share=0.1) == (), "it does not wait long"


def test_a_step_that_waits_for_few_examples_names_a_larger_batch_where_that_was_faster() -> None:
    waiting = recording(spans_ms={"read": 4.0, "augment": 0.0, "forward": 6.0})
    first, second = hints(waiting, trial("batch size", "train.batch_size = 32", 2.5, batch_size=32))
    assert first.endswith("train.batch_size = 32 reads more examples at once, 2.50 times as many a second")
    assert second.startswith("batch 8 trains 40% of the examples a second that batch 32 does")
    assert hints(waiting, trial("batch size", "train.batch_size = 32", 1.0, batch_size=32)) == ()


def test_a_small_batch_is_told_by_what_larger_ones_do() -> None:
    tried = [
        trial("batch size", "train.batch_size = 16", 1.9, batch_size=16),
        trial("batch size", "train.batch_size = 32", 3.0, batch_size=32),
        trial("batch size", "train.batch_size = 64", 3.2, batch_size=64),
    ]
    (hint,) = hints(None, *tried)
    # The smallest batch that is nearly as good as the best.
    assert hint.startswith("batch 8 trains 33% of the examples a second that batch 32 does: try train.batch_size = 32")
    assert hints(None, *(each.model_copy(update={"gain": 1.1}) for each in tried)) == ()
    assert hints(None, *(each.model_copy(update={"gain": 0.0, "left_out": "no room"}) for each in tried)) == ()


@pytest.mark.parametrize(
    ("kind", "setting", "words"),
    [
        ("mixed precision", 'train.mixed_precision = "auto"', "float32 is slower here"),
        ("threads", "OMP_NUM_THREADS=2", "torch computes on 1 of 2 cores"),
        ("activation checkpointing", "train.activation_checkpointing = []", "activations are computed again"),
    ],
)
def test_a_setting_that_was_faster_is_named(kind: TrialKind, setting: str, words: str) -> None:
    (hint,) = hints(None, trial(kind, setting, 1.6))
    assert words in hint
    assert f"{setting} " in hint
    assert "trains 1.60 times as fast" in hint
    assert hints(None, trial(kind, setting, 1.05)) == ()


def test_an_optimizer_is_named_where_it_takes_much_and_stepping_rarely_helps() -> None:
    much = recording(spans_ms={"read": 0.1, "forward": 4.0, "optimizer": 4.1})
    accumulated = trial("accumulate", "train.accumulate = 4", 1.5)
    (hint,) = hints(much, accumulated)
    assert hint.startswith("the optimizer (adamw) takes 41% of each step, whatever the size of the batch")
    assert hints(much, accumulated.model_copy(update={"gain": 1.0})) == ()
    assert hints(recording(), accumulated) == (), "it takes a tenth"


def test_calls_are_joined_where_larger_ones_answer_more() -> None:
    one = recording(batch_size=1, step_ms=(1.0, 1.0))
    large = recording(batch_size=32, step_ms=(8.0, 8.0))
    (hint,) = inference_hints([one, large])
    assert hint.startswith("a call with 32 examples answers 4,000 a second, with 1 only 1,000")
    assert inference_hints([one, large.model_copy(update={"step_ms": (30.0, 30.0)})]) == ()
    assert inference_hints([one]) == ()
