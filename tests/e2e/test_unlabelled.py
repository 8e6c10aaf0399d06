"""A network and pictures without labels, all the way: searched, packed, served, and judged through the server."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline
from pipeline.serving.lifecycle import running_server
from tests.command_line import run
from tests.example_build import Built
from tests.unlabelled_build import Unlabelled, build_unlabelled

SEARCH = """
[search]
effort = "quick"
max_minutes = 5
"""
AGREEMENT = "agreement with float"


@pytest.mark.slow
def test_a_network_without_labels_is_searched_served_and_judged_through_the_server(
    built: Built, tmp_path: Path
) -> None:
    unlabelled = build_unlabelled(tmp_path, built, more=SEARCH)
    result = unlabelled.result
    assert "search: networks learn the float network's answers alone, because they are judged by agreement with it" in (
        unlabelled.said
    )
    assert result.searched
    report = run("report", unlabelled.run_dir, "--model-store", tmp_path / "store").stdout
    assert "The data have no labels." in report
    assert "ccuracy" not in report
    with running_server(result.archive) as server:
        told = run(
            "verify", result.archive, "--url", server.url, "--data", unlabelled.run_dir / "data", "--float-model",
            unlabelled.float_model,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        _require_agreement(told.stdout, unlabelled)
        alone = pipeline.verify(result.archive, url=server.url, data=unlabelled.run_dir / "data")
    assert isinstance(alone, pipeline.ArchiveVerification)
    assert (alone.quality, alone.unjudged) == ((), ("test.safetensors", "validation.safetensors"))
    assert alone.served is not None
    assert [(served.accuracy, served.judged_by, served.flips) for served in alone.served.quality] == [
        (None, None, 0)
    ] * 2


def _require_agreement(told: str, unlabelled: Unlabelled) -> None:
    test = unlabelled.result.test
    lines = told.splitlines()
    (line,) = [line for line in lines if "test.safetensors, the build's test split" in line]
    assert f"{AGREEMENT} {test.accuracy:.4f}" in line
    served = [line for line in lines if line.startswith("served     test.safetensors: ")]
    assert len(served) == 1
    assert AGREEMENT in served[0]
    assert " against float" in served[0]
    assert "ccuracy" not in told
