from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.special import rel_entr, softmax

from pipeline._handlers.activation import ACTIVATIONS
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline.checks.outputs import predict_logits
from pipeline.checks.reference import module_reference
from pipeline.errors import DataError, ProofError
from pipeline.tasks.classification.quality import (
    calibration_error,
    divergence_between,
    judge_quality,
    kl_divergence,
    log_probabilities,
    log_softmax,
    near_ties,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Exported


CLASSES = ("cat", "dog", "owl")


def decisions(classes: list[int]) -> NDArray[np.float32]:
    """Logits (N, 3) that decide for these classes."""
    return np.eye(3, dtype=np.float32)[classes]


def many(lost: int, gained: int, examples: int) -> dict[str, Any]:
    labels = np.zeros(examples, np.int64)
    before, after = np.zeros(examples, int), np.zeros(examples, int)
    after[:lost] = 1
    before[lost : lost + gained] = 1
    return {
        "classes": CLASSES,
        "labels": labels,
        "logits": decisions(after.tolist()),
        "float_logits": decisions(before.tolist()),
    }


def test_flips_are_counted_both_ways() -> None:
    report = judge_quality(
        candidate="slim",
        classes=CLASSES,
        labels=np.array([0, 0, 1, 1, 2, 2]),
        float_logits=decisions([0, 0, 1, 0, 0, 2]),
        # right, lost, right, gained, wrong in another way, right
        logits=decisions([0, 1, 1, 1, 1, 2]),
    )
    assert (report.flips, report.lost, report.gained) == (3, 1, 1)
    assert (report.float_accuracy, report.accuracy, report.drop) == (4 / 6, 4 / 6, 0.0)
    assert report.interval_lower < 0 < report.drop_upper < report.interval_upper


def test_drop_and_bounds() -> None:
    report = judge_quality(candidate="slim", **many(130, 40, 10_000))
    assert report.drop == pytest.approx(0.009)
    # normal approximation: 0.009 +- 1.645 * sqrt((0.017 - 0.009^2) / 10000), and 1.96 times it on both sides
    assert report.interval_lower == pytest.approx(0.00644, abs=2e-4)
    assert report.interval_upper == pytest.approx(0.01156, abs=2e-4)
    assert report.drop_upper == pytest.approx(0.01114, abs=2e-4)
    assert report.model_dump(mode="json")["drop_upper"] == report.drop_upper


def test_nothing_flipped_is_not_nothing_lost() -> None:
    report = judge_quality(candidate="slim", **many(0, 0, 100))
    assert report.drop == 0
    assert report.drop_upper == report.smallest_provable_drop == pytest.approx(0.0263, abs=1e-4)


def test_nan_is_no_decision() -> None:
    data = many(0, 0, 4)
    data["logits"][2, 0] = np.nan
    with pytest.raises(ProofError, match="slim: quality: expected finite logits, found NaN or infinity on 1 examples"):
        judge_quality(candidate="slim", **data)


def test_no_examples_and_wrong_shapes() -> None:
    with pytest.raises(ProofError, match=r"with N of 1 or more, found \(0, 3\), \(0, 3\) and \(0,\)"):
        judge_quality(candidate="slim", **many(0, 0, 0))
    data = many(0, 0, 4) | {"labels": np.zeros(3, np.int64)}
    with pytest.raises(ProofError, match=r"found \(4, 3\), \(4, 3\) and \(3,\)"):
        judge_quality(candidate="slim", **data)


def test_logits_come_from_the_file_as_it_is_served(exported: Exported, tmp_path: Path) -> None:
    logits = predict_logits(
        file=exported.folder / "float.onnx",
        runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
        inputs=exported.inputs,
        data=exported.samples,
        scratch=tmp_path,
    )
    expected = module_reference(exported.module, exported.inputs).answer({"pixels": exported.pictures})
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_variant_file_answers_one_by_one_unless_that_is_allowed(exported: Exported, tmp_path: Path) -> None:
    def answers(*, invariant: bool, allowed: bool) -> NDArray[np.float32]:
        runtime = RuntimeSpec(
            kind="onnxruntime", file="int8.onnx", batch_invariant=invariant, allow_batch_variant=allowed
        )
        return predict_logits(
            file=exported.folder / "int8.onnx",
            runtime=runtime,
            inputs=exported.inputs,
            data=exported.samples,
            scratch=tmp_path,
        )

    model = load_model(exported.folder, RuntimeSpec(kind="onnxruntime", file="int8.onnx"), exported.inputs)
    for size, logits in (
        (1, answers(invariant=False, allowed=False)),
        (32, answers(invariant=False, allowed=True)),  # as served, not in the larger chunks that are faster here
        (64, answers(invariant=True, allowed=False)),
    ):
        expected = run_chunks(model, {"pixels": exported.pictures}, size)
        np.testing.assert_array_equal(logits, expected)
    assert np.abs(answers(invariant=False, allowed=True) - answers(invariant=False, allowed=False)).max() > 1e-4


def random_logits(seed: int, shape: tuple[int, int] = (400, 6)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def test_flips_are_told_apart_by_how_sure_float_was() -> None:
    # probabilities of float's top two: 0.8/0.2, 0.751/0.249 (a margin of 0.502), 0.6/0.4, 0.52/0.48, equal
    float_probabilities = np.array([[0.8, 0.2], [0.751, 0.249], [0.6, 0.4], [0.52, 0.48], [0.5, 0.5]])
    report = judge_quality(
        candidate="slim",
        classes=("no", "yes"),
        labels=np.array([0, 1, 0, 0, 1]),
        float_logits=np.log(float_probabilities),
        logits=np.log(float_probabilities[:, ::-1]) + np.array([0, 1e-9]),
    )
    assert (report.flips, report.lost, report.gained) == (5, 3, 2)
    assert (report.confident_flips, report.near_tie_flips) == (2, 2)
    assert report.confident_share == 0.4


def test_a_sure_float_that_agrees_is_no_confident_flip() -> None:
    data = many(0, 0, 50)
    data["float_logits"] = data["float_logits"] * 40
    assert judge_quality(candidate="slim", **data).confident_flips == 0


def test_the_class_that_loses_most() -> None:
    labels = np.array([0] * 8 + [1] * 4)
    after = labels.copy()
    after[:3] = 1  # three of eight cats
    after[8:10] = 0  # two of four dogs
    report = judge_quality(
        candidate="slim",
        classes=CLASSES,
        labels=labels,
        logits=decisions(after.tolist()),
        float_logits=decisions(labels.tolist()),
    )
    assert (report.worst_class, report.worst_class_name) == (1, "dog")
    assert (report.worst_class_drop, report.worst_class_examples) == (0.5, 4)


def test_a_class_without_examples_is_not_the_worst() -> None:
    report = judge_quality(
        candidate="slim",
        classes=CLASSES,
        labels=np.array([1, 2]),
        float_logits=decisions([0, 0]),
        logits=decisions([1, 2]),
    )
    assert (report.worst_class, report.worst_class_drop) == (1, -1.0), "dogs gained too, but they are there"


def test_divergence_is_the_mean_of_kullback_and_leibler() -> None:
    before, after = random_logits(0), random_logits(1)
    expected = rel_entr(softmax(before.astype(float), axis=1), softmax(after.astype(float), axis=1)).sum(axis=1).mean()
    assert kl_divergence(log_softmax(before), log_softmax(after)) == pytest.approx(expected, rel=1e-12)
    assert kl_divergence(log_softmax(before), log_softmax(before)) == 0
    # a bit, in nats: all on one of two against an even share
    certain, even = np.array([[0.0, -800.0]]), np.array([[0.0, 0.0]])
    assert kl_divergence(log_softmax(certain), log_softmax(even)) == pytest.approx(np.log(2))


def test_logarithms_of_probabilities_survive_extreme_logits() -> None:
    largest = np.finfo(np.float32).max
    logarithms = log_softmax(np.array([[largest, -largest, 0], [1e4, 1e4, 1e4], [-800, 0, 0]], np.float32))
    assert np.isfinite(logarithms).all()
    np.testing.assert_allclose(logarithms[1], -np.log(3))
    assert logarithms[2, 0] == pytest.approx(-800 - np.log(2))
    logits = random_logits(0)
    np.testing.assert_allclose(
        log_softmax(logits), torch.log_softmax(torch.from_numpy(logits).double(), dim=1).numpy(), rtol=1e-12
    )


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int) -> float:
    """Guo et al. (2017), equations 2 and 3, word by word."""
    sure, decisions = probabilities.max(axis=1), probabilities.argmax(axis=1)
    error = 0.0
    for number in range(1, bins + 1):
        inside = (sure > (number - 1) / bins) & (sure <= number / bins)
        if inside.any():
            gap = abs((decisions == labels)[inside].mean() - sure[inside].mean())
            error += inside.sum() / len(labels) * gap
    return float(error)


def test_calibration_error_is_that_of_the_paper() -> None:
    logits = random_logits(2)
    labels = np.random.default_rng(3).integers(0, 6, 400)
    expected = expected_calibration_error(softmax(logits.astype(float), axis=1), labels, 15)
    assert expected > 0.1
    assert calibration_error(log_softmax(logits), labels) == pytest.approx(expected, rel=1e-9)


def test_who_is_always_sure_and_always_right_is_calibrated() -> None:
    labels = np.array([0, 1, 2, 1])
    sure = log_softmax(decisions(labels.tolist()) * 100)
    assert calibration_error(sure, labels) == pytest.approx(0, abs=1e-12)
    assert calibration_error(sure, (labels + 1) % 3) == pytest.approx(1)
    even = np.log(np.full((4, 4), 0.25))
    assert calibration_error(even, np.array([0, 1, 2, 3])) == pytest.approx(0, abs=1e-12), "right once in four"


def test_labels_that_are_no_classes() -> None:
    data = many(0, 0, 4) | {"labels": np.array([0, 1, 2, 3])}
    with pytest.raises(ProofError, match="slim: quality: expected labels from 0 to 2, found 0 to 3"):
        judge_quality(candidate="slim", **data)


def test_a_split_without_examples_is_refused(exported: Exported, tmp_path: Path) -> None:
    empty = tmp_path / "validation.safetensors"
    save_file({"input.pixels": np.zeros((0, 1, 28, 28), np.uint8)}, empty)
    with pytest.raises(DataError, match=r"validation\.safetensors: expected at least 1 example of input pixels, found"):
        predict_logits(
            file=exported.folder / "float.onnx",
            runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
            inputs=exported.inputs,
            data=empty,
            scratch=tmp_path,
        )
    save_file({"input.other": np.zeros((3, 1), np.uint8)}, empty)
    with pytest.raises(DataError, match=r"expected input pixels, found input\.other"):
        predict_logits(
            file=exported.folder / "float.onnx",
            runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
            inputs=exported.inputs,
            data=empty,
            scratch=tmp_path,
        )


def test_probabilities_are_judged_as_what_they_are() -> None:
    before = np.array([[0.998, 0.001, 0.001], [0.55, 0.45, 0], [1, 0, 0]], np.float32)
    after = np.array([[0.2, 0.7, 0.1], [0.45, 0.55, 0], [0, 1, 0]], np.float32)
    judged = {
        activation: judge_quality(
            candidate="slim",
            classes=CLASSES,
            labels=np.zeros(3, np.int64),
            float_logits=before,
            logits=after,
            activation=activation,
        )
        for activation in ACTIVATIONS
    }
    # After another softmax, no margin of three probabilities reaches a half.
    assert [report.confident_flips for report in judged.values()] == [0, 2, 2]
    assert [report.near_tie_flips for report in judged.values()] == [1, 0, 0]
    assert judged["softmax"].float_calibration_error == pytest.approx((0.002 + 0.45) / 3, abs=1e-6)
    assert all(np.isfinite(report.divergence) for report in judged.values())


def test_the_divergence_of_a_softmax_is_that_of_its_logits() -> None:
    before, after = (np.random.default_rng(seed).normal(0, 3, (50, 7)) for seed in (0, 1))
    of_logits = divergence_between(before, after, "none")
    assert divergence_between(softmax(before, axis=1), softmax(after, axis=1), "softmax") == pytest.approx(of_logits)
    # The same holds for probabilities that a candidate rounds so that they no longer sum to 1.
    assert divergence_between(softmax(before, axis=1), softmax(before, axis=1) * 1.01, "softmax") == pytest.approx(0)


def test_the_divergence_of_a_sigmoid_adds_up_over_its_classes() -> None:
    before, after = np.array([[0.9, 0.2]]), np.array([[0.6, 0.5]])
    expected = rel_entr(before, after).sum() + rel_entr(1 - before, 1 - after).sum()
    assert divergence_between(before, after, "sigmoid") == pytest.approx(expected)


def test_zeros_and_ones_of_probabilities_are_as_far_as_can_be_and_finite() -> None:
    certain, opposite = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    for activation in ("softmax", "sigmoid"):
        assert divergence_between(certain, certain, activation) == pytest.approx(0)
        assert 80 < divergence_between(certain, opposite, activation) < 200
        assert np.isfinite(log_probabilities(np.zeros((2, 3), np.float32), activation)).all()
    nothing = np.array([[np.nan, 1]], np.float32)
    assert all(divergence_between(certain, nothing, activation) == np.inf for activation in ACTIVATIONS)


def test_near_ties_are_the_smallest_margins_first() -> None:
    logits = np.array([[5, 0, 1], [1, 1.1, -9], [2, 0, 0], [3, 3, 0]], dtype=np.float32)
    assert near_ties(logits, 2).tolist() == [3, 1]
    assert near_ties(logits, 9).tolist() == [3, 1, 2, 0]
    # The same holds for probabilities.
    assert near_ties(np.array([[0.9, 0.1, 0], [0.4, 0.3, 0.3], [1, 0, 0]], np.float32), 2).tolist() == [1, 0]
    assert near_ties(np.array([[2], [1]], dtype=np.float32), 1).tolist() == [1]
