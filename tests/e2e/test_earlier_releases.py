"""A real server on archives of earlier releases: it runs this installation's handler, and nothing that they bring."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.archive.mar import read_archive
from pipeline.serving.address import endpoint_of
from pipeline.serving.client import predict_logits
from pipeline.serving.golden_question import golden_question
from pipeline.serving.lifecycle import running_server
from tests.faulty_archives import made_again

ARCHIVES = sorted(Path(__file__).parents[1].joinpath("data", "archives").glob("*.mar"))


def evil_twin(path: Path, folder: Path, canary: Path) -> Path:
    """The same archive with a handler that leaves a mark before it does its work."""
    archive = read_archive(path)
    mark = f"open({str(canary)!r}, 'w').close()\n".encode()
    handlers = {
        name: content.replace(b"import json\n", b"import json\n" + mark, 1)
        for name, content in archive.members.items()
        if name in ("torchserve_handler.py", "handlers/predictor.py")
    }
    assert all(mark in content for content in handlers.values())
    return made_again(archive, folder / "twin.mar", members=handlers).path


def test_what_an_archive_brings_does_not_run(tmp_path: Path) -> None:
    twin, canary = evil_twin(ARCHIVES[0], tmp_path, tmp_path / "ran"), tmp_path / "ran"
    with running_server(twin) as server:  # ready: every worker has given the golden answers
        question = golden_question(read_archive(twin))
        answer = predict_logits(endpoint_of(server), question.body, question.content_type)
    assert answer.digest == read_archive(twin).digest
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_served(path: Path) -> None:
    with running_server(path) as server:
        assert server.ready


@pytest.mark.slow
def test_with_trust_it_does_run(tmp_path: Path) -> None:
    twin, canary = evil_twin(ARCHIVES[0], tmp_path, tmp_path / "ran"), tmp_path / "ran"
    with running_server(twin, trust=True) as server:
        assert server.ready
    assert canary.exists()
