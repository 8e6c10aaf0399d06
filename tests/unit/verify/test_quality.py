from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.serving import RuntimeSpec
from pipeline.errors import ProofError
from pipeline.verify.quality import judge_quality, predict_logits
from pipeline.verify.reference import module_reference

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Exported


def decisions(classes: list[int]) -> NDArray[np.float32]:
    """Logits (N, 3) that decide for these classes."""
    return np.eye(3, dtype=np.float32)[classes]


def many(lost: int, gained: int, examples: int) -> dict[str, Any]:
    labels = np.zeros(examples, np.int64)
    before, after = np.zeros(examples, int), np.zeros(examples, int)
    after[:lost] = 1
    before[lost : lost + gained] = 1
    return {"labels": labels, "logits": decisions(after.tolist()), "float_logits": decisions(before.tolist())}


def test_flips_are_counted_both_ways() -> None:
    report = judge_quality(
        candidate="slim",
        labels=np.array([0, 0, 1, 1, 2, 2]),
        float_logits=decisions([0, 0, 1, 0, 0, 2]),
        # right, lost, right, gained, wrong in another way, right
        logits=decisions([0, 1, 1, 1, 1, 2]),
    )
    assert (report.flips, report.lost, report.gained) == (3, 1, 1)
    assert (report.float_accuracy, report.accuracy, report.drop) == (4 / 6, 4 / 6, 0.0)
    assert report.drop_lower < 0 < report.drop_upper


def test_drop_and_bounds() -> None:
    report = judge_quality(candidate="slim", **many(130, 40, 10_000))
    assert report.drop == pytest.approx(0.009)
    # normal approximation: 0.009 +- 1.645 * sqrt((0.017 - 0.009^2) / 10000)
    assert report.drop_lower == pytest.approx(0.00686, abs=2e-4)
    assert report.drop_upper == pytest.approx(0.01114, abs=2e-4)
    assert report.to_json()["drop_upper"] == report.drop_upper


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


def test_a_batch_variant_file_answers_one_by_one(exported: Exported, tmp_path: Path) -> None:
    found = {
        invariant: predict_logits(
            file=exported.folder / "int8.onnx",
            runtime=RuntimeSpec(kind="onnxruntime", file="int8.onnx", batch_invariant=invariant),
            inputs=exported.inputs,
            data=exported.samples,
            scratch=tmp_path,
        )
        for invariant in (True, False)
    }
    assert np.abs(found[True] - found[False]).max() > 1e-4
