from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from pipeline._handlers.description import RuntimeSpec
from pipeline.errors import ProofError
from pipeline.replay import start
from pipeline.replay.start import Replayed, Run, replay, replaying

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def replay_samples(exported: Exported, scratch: Path) -> Replayed:
    return replay(
        file=exported.folder / "float.onnx",
        runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
        inputs=exported.inputs,
        runs=[Run(name="real", data=exported.samples, batch_size=32, calls=2)],
        scratch=scratch,
    )


def test_an_onnx_file_is_replayed_without_torch(exported: Exported, tmp_path: Path) -> None:
    replayed = replay_samples(exported, tmp_path)
    assert not replayed.torch_imported
    assert list(replayed.answers) == [("real", 0), ("real", 1)]
    assert replayed.answers["real", 0].shape == (64, 10)
    assert "onnxruntime" in replayed.libraries
    assert replayed.cpu


@pytest.mark.parametrize("fits", [True, False])
def test_several_go_on_at_once_where_their_file_is_small(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    monkeypatch.setattr(start, "fits_in_memory", lambda _: fits)
    answers = replay_samples(exported, tmp_path).answers
    with ExitStack() as stack:
        pending = [
            stack.enter_context(
                replaying(
                    file=exported.folder / "float.onnx",
                    runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
                    inputs=exported.inputs,
                    runs=[Run(name="real", data=exported.samples, batch_size=32)],
                    scratch=tmp_path,
                )
            )
            for _ in range(3)
        ]
        assert len(psutil.Process().children()) == (3 if fits else 0)
        for running in pending[:2]:
            np.testing.assert_array_equal(running.finished().answers["real", 0], answers["real", 0])
    assert (psutil.Process().children(), list(tmp_path.iterdir())) == ([], [])


def test_one_that_lacked_memory_beside_others_begins_again(exported: Exported, tmp_path: Path) -> None:
    with replaying(
        file=exported.folder / "float.onnx",
        runtime=RuntimeSpec(kind="onnxruntime", file="float.onnx"),
        inputs=exported.inputs,
        runs=[Run(name="real", data=exported.samples, batch_size=32)],
        scratch=tmp_path,
    ) as pending:
        psutil.Process().children()[0].kill()  # as Linux does where memory is out
        answers = pending.finished().answers
    assert answers["real", 0].shape == (64, 10)


def test_modules_in_the_working_directory_are_not_imported(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy.py", "onnxruntime.py", "handlers.py", "pipeline.py"):
        (tmp_path / name).write_text("raise RuntimeError('the wrong one')\n", encoding="utf-8")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(tmp_path)
    assert replay_samples(exported, scratch).answers


def test_a_file_that_cannot_be_loaded_is_one_line(exported: Exported, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(ProofError, match=r"^bad\.onnx cannot be replayed \(onnxruntime\): .*$") as caught:
        replay(
            file=bad,
            runtime=RuntimeSpec(kind="onnxruntime", file="x.onnx"),
            inputs=exported.inputs,
            runs=[Run(name="real", data=exported.samples, batch_size=1)],
            scratch=tmp_path,
        )
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]
