"""A build on data without labels: its candidates are judged by agreement with float, and all that is told says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.commands.build import plan
from pipeline.commands.verify_run import verify_run
from pipeline.data.dataset import read_split
from pipeline.errors import UsageError
from tests.example_build import Built
from tests.report_documents import shown
from tests.reporters import Lines
from tests.unlabelled_build import Unlabelled, build_unlabelled, write_unlabelled

# The twins differ from float in numbers; the faulty one in decisions, too.
VARIANTS = """
[[candidates.variants]]
name = "slim"
passes = [{ kind = "channel-pruning", keep = 0.75 }, { kind = "fine-tune", epochs = 10, batch_size = 32 }]
[[candidates.variants]]
name = "float"
passes = [{ kind = "static-int8" }]
[[candidates.variants]]
name = "faulty"
passes = [{ kind = "magnitude-pruning", amount = 0.97 }]
"""
AGREEMENT = "agreement with float"


@pytest.fixture(scope="module")
def unlabelled(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unlabelled]:
    folder = tmp_path_factory.mktemp("unlabelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(folder / "state"))
        yield build_unlabelled(folder, built, more=VARIANTS)


@pytest.mark.slow
def test_candidates_are_judged_by_agreement_and_one_that_decides_otherwise_is_refused(unlabelled: Unlabelled) -> None:
    rows = {row.report.name: row for row in unlabelled.result.candidates}
    assert {row.report.quality.metric for row in rows.values()} == {AGREEMENT}
    assert {row.report.quality.float_accuracy for row in rows.values()} == {1.0}
    assert rows["faulty.onnx.fp32"].verdict.text == "over budget"
    assert rows["faulty.onnx.fp32"].report.quality.drop > 0.1
    for twin in ("slim.onnx.fp32", "float.onnx.int8-static"):
        quality = rows[twin].report.quality
        assert rows[twin].verdict.text == "within budget", twin
        assert quality.accuracy == 1 - quality.flips / quality.examples
    page = shown(unlabelled.result.page)
    assert "decides as" in page["verdict"]["sentences"][1] or "loses nothing" in page["verdict"]["sentences"][1]
    assert page["verdict"]["warnings"][0].startswith("The data have no labels")
    assert page["absent"].keys() <= {"graph", "disagreements", "calibration", "confusion"}
    document = unlabelled.result.to_json()
    assert document["judged_by"] == AGREEMENT
    assert document["test"]["metric"] == AGREEMENT
    assert "accuracy 0" not in " ".join(unlabelled.said)
    assert "train: nothing is trained, and without labels candidates are judged by agreement with float" in (
        unlabelled.said
    )
    smoke = json.loads((unlabelled.run_dir / "smoke" / "smoke.json").read_text())
    assert smoke["correct"] == smoke["posted"] - smoke["float_flips"]


@pytest.mark.slow
def test_what_float_decides_is_what_the_splits_hold(unlabelled: Unlabelled) -> None:
    splits = {
        which: read_split(unlabelled.run_dir / "data" / f"{which}.safetensors") for which in ("validation", "test")
    }
    assert [split.labels for split in splits.values()] == [None, None]
    evidence = pipeline.evidence(unlabelled.result.archive)
    assert {which: sum(counts) for which, counts in evidence["data"]["class_counts"].items()} == {
        which: len(split) for which, split in splits.items()
    }
    assert set(unlabelled.result.coverage) == {"validation", "test"}


@pytest.mark.slow
def test_the_archive_says_what_was_proven(unlabelled: Unlabelled) -> None:
    assert pipeline.evidence(unlabelled.result.archive)["judged_by"] == AGREEMENT
    card = pipeline.evidence(unlabelled.result.archive, form="markdown")
    assert "What was proven is agreement with the float network's decisions" in card
    inspection = pipeline.inspect(unlabelled.result.archive)
    assert isinstance(inspection, pipeline.ArchiveInspection)
    assert inspection.judged_by == AGREEMENT


@pytest.mark.slow
def test_an_archive_is_judged_again_by_the_float_network(unlabelled: Unlabelled) -> None:
    data, archive = unlabelled.run_dir / "data", unlabelled.result.archive
    with pytest.raises(UsageError, match=r"test\.safetensors: expected labels .* as --float-model"):
        pipeline.verify(archive, data=data)
    verification = pipeline.verify(archive, data=data, float_model=unlabelled.float_model)
    assert isinstance(verification, pipeline.ArchiveVerification)
    assert [split.name for split in verification.quality] == ["test.safetensors", "validation.safetensors"]
    for split in verification.quality:
        assert (split.judged_by, split.metric) == (AGREEMENT, AGREEMENT)
        assert split.accuracy == split.recorded
    faulty = unlabelled.run_dir / "candidates" / "faulty.onnx.fp32" / "model.onnx"
    with pytest.raises(pipeline.FileError, match=r"expected float\.onnx\.fp32 of the build"):
        pipeline.verify(archive, data=data, float_model=faulty)


@pytest.mark.slow
def test_layers_of_a_refused_candidate_are_ranked(unlabelled: Unlabelled) -> None:
    verification = verify_run(unlabelled.run_dir, rank=True, ranking_examples=64)
    verification.require()
    (ranking,) = [one.ranking for one in verification.candidates if one.candidate == "faulty.onnx.fp32"]
    assert ranking is not None
    assert ranking.drop > 0
    assert ranking.gains[0].accuracy > 0


@pytest.mark.slow
def test_a_second_build_has_nothing_to_do(unlabelled: Unlabelled) -> None:
    steps = plan(unlabelled.recipe, run_dir=unlabelled.run_dir)
    assert {step.action for step in steps} == {"up to date"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.epochs=2"], r"train\.epochs = 2: expected 0, because data set photos has no labels"),
        (["train.loss=my_nets:build"], r"train\.loss my_nets:build: expected none, because data set photos has no"),
    ],
)
def test_training_without_labels_is_refused(built: Built, tmp_path: Path, overrides: list[str], message: str) -> None:
    recipe = write_unlabelled(tmp_path, built, more="")
    with pytest.raises(UsageError, match=message):
        pipeline.train(recipe, run_dir=tmp_path / "run", overrides=overrides)


def test_fine_tuning_on_labels_is_refused_where_there_are_none(built: Built, tmp_path: Path) -> None:
    recipe = write_unlabelled(tmp_path, built, more=VARIANTS.replace("epochs = 10", "epochs = 1, label_weight = 0.5"))
    with pytest.raises(UsageError, match=r"variant slim: label_weight = 0\.5: expected 0, because data set photos"):
        pipeline.build(recipe, run_dir=tmp_path / "run", model_store=tmp_path / "store", reporter=Lines())
