"""The public functions on a finished build, as a program calls them."""

from __future__ import annotations

from typing import Any

import pytest

import pipeline
from tests.example_build import Built


def test_training_alone_is_up_to_date_after_a_build_and_says_where_the_weights_lie(built: Built) -> None:
    result = pipeline.train(built.recipe, run_dir=built.run_dir, overrides=built.overrides)
    assert (result.recipe, result.run_dir) == ("digits", built.run_dir)
    assert [(stage.stage, stage.action) for stage in result.stages] == [("data", "up to date"), ("train", "up to date")]
    assert result.weights == built.run_dir / "train" / "weights.safetensors"
    assert result.history.is_file()
    with pytest.raises(pipeline.UsageError, match=r"overrides train\.epochs=1: expected none"):
        pipeline.train(pipeline.load_recipe(built.recipe), run_dir=built.run_dir, overrides=["train.epochs=1"])


def test_a_run_and_its_archive_are_verified(built: Built) -> None:
    run = pipeline.verify(str(built.run_dir))
    assert isinstance(run, pipeline.RunVerification)
    assert {candidate.altered for candidate in run.candidates} == {False}
    archive = pipeline.verify(str(built.result.archive), digest=built.result.archive_sha256)
    assert isinstance(archive, pipeline.ArchiveVerification)
    assert (archive.candidate, archive.pinned) == (built.result.selected, True)


def test_what_was_built_is_told_again(built: Built) -> None:
    assert pipeline.report(built.run_dir, model_store=built.model_store).selected == built.result.selected
    assert pipeline.evidence(str(built.result.archive))["code"]["version"] == pipeline.__version__
    card = pipeline.evidence(built.result.archive, form="markdown")
    assert built.result.selected in card
    inspection = pipeline.inspect(str(built.result.archive))
    assert isinstance(inspection, pipeline.ArchiveInspection)


@pytest.mark.parametrize("options", [{"digest": "0" * 64}, {"public_key": "key.pem"}, {"require_signature": True}])
def test_an_option_for_archives_is_refused_of_a_run(built: Built, options: dict[str, Any]) -> None:
    with pytest.raises(pipeline.UsageError, match=r"expected an archive with --digest, --public-key or --require-"):
        pipeline.bench(built.run_dir, **options)
