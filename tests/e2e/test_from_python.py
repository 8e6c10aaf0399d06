"""A server from Python: started, asked and stopped by the public functions."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import pipeline
from tests.served_models import GREY, LABELS, build_archive


def test_an_archive_is_served_asked_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    archive = build_archive(tmp_path / "store", [GREY])
    picture = tmp_path / "picture.png"
    stream = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6)).save(stream, format="PNG")
    picture.write_bytes(stream.getvalue())
    server = pipeline.serve(model_store=archive.path.parent, digest=archive.digest, port=None)
    try:
        assert (server.model, server.digest, server.ready) == ("tiny", archive.digest, True)
        [status] = pipeline.status()
        assert status.ready
        answered, refused = pipeline.predict([picture, tmp_path / "none.png"])
        [prediction] = answered.predictions
        assert prediction.answer["label"] in LABELS
        assert prediction.digest == archive.digest
        assert isinstance(refused.error, pipeline.FileError)
    finally:
        stopped = pipeline.stop(server.port)
    assert [state.port for state in stopped] == [server.port]
    assert pipeline.status() == []
    for thread in threading.enumerate():
        if thread.name == f"wait for {server.url}":
            thread.join(timeout=60)
    assert not psutil.pid_exists(server.pid), "this process waited for it"
