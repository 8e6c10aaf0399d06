"""What a search keeps over an interruption: believed while it is whole, found anew where a bit is flipped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.candidates import evaluate
from pipeline.candidates.context import Context
from pipeline.candidates.evaluate import evaluate_once, folder_of, is_evaluated
from pipeline.candidates.spec import CandidateSpec, candidate_specs
from pipeline.engine.artifacts import digest_file
from pipeline.engine.deadline import Deadline
from pipeline.engine.kept import write_kept
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.passes import StaticInt8
from pipeline.search import calibration, search
from pipeline.search.calibration import best_static_int8
from pipeline.search.widths import Sensitivity
from tests.builders import candidate
from tests.damage import flip
from tests.reporters import Lines
from tests.timed_files import RUNTIME, Watch, comparison_for, faster_by

FLIPS = np.random.default_rng(0).random(5).tolist()


def context_in(folder: Path) -> Context:
    return cast("Context", SimpleNamespace(scratch=folder, reporter=Lines(), model=SimpleNamespace(outputs=())))


def said_by(context: Context) -> list[str]:
    return cast("Lines", context.reporter).said


def flip_at(file: Path, share: float) -> None:
    flip(file, int(share * 8 * file.stat().st_size))


def told(file: Path) -> str:
    return f"{file}: expected what an earlier run kept, found other bytes; it is made again"


@pytest.mark.parametrize("share", FLIPS)
def test_the_seconds_of_a_search(tmp_path: Path, share: float) -> None:
    file, said = tmp_path / "seconds", Lines()
    write_kept(file, b"6.5\n")
    assert Deadline(file, 10, said.log).used_s >= 6.5
    flip_at(file, share)
    assert Deadline(file, 10, said.log).used_s < 6
    assert said.said == [told(file)]


@pytest.mark.parametrize("share", FLIPS)
def test_which_of_two_was_faster(tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (
        candidate(name).model_copy(update={"runtime": RUNTIME}) for name in ("one.onnx.fp32", "other.onnx.fp32")
    )
    watch = Watch(faster_by(0.2), faster_by(0.2))
    comparison = comparison_for("latency", tmp_path, watch, monkeypatch)
    assert [comparison.gains([one], [other]) for _ in range(2)] == [True, True]
    assert len(watch.rounds) == 1, "kept"
    [file] = tmp_path.glob("*.kept")
    flip_at(file, share)
    assert comparison.gains([one], [other])
    assert len(watch.rounds) == 2
    assert said_by(comparison.context) == [told(file)]


@pytest.mark.parametrize("share", FLIPS)
def test_what_single_layers_can_lose(tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = []

    def scan(*_: Any, round_to: int) -> list[Sensitivity]:
        scans.append(round_to)
        return [Sensitivity(layer="wide", divergence={0.5: 0.01})]

    monkeypatch.setattr(search, "scan", scan)
    context = context_in(tmp_path)
    first = [search._scan_once(context, 8) for _ in range(2)]
    assert scans == [8]
    [file] = tmp_path.glob("scan*")
    flip_at(file, share)
    assert [*first, search._scan_once(context, 8)] == [first[0]] * 3
    assert scans == [8, 8]
    assert said_by(context) == [told(file)]


class _MadeAgainError(Exception):
    """The work begins anew."""


def _make_again(*_: Any, **__: Any) -> Any:
    raise _MadeAgainError


SPEC: CandidateSpec = candidate_specs(Candidates(variants=()))[0]


@pytest.mark.parametrize("share", FLIPS)
def test_how_int8_suits_a_network_best(tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_in(tmp_path)
    comparison = comparison_for("latency", tmp_path, Watch(), monkeypatch)
    monkeypatch.setattr(calibration, "training_inputs", _make_again)
    with pytest.raises(_MadeAgainError):
        best_static_int8(SPEC, context, comparison)
    [folder] = tmp_path.iterdir()
    (folder / "model.onnx").write_bytes(b"half a file of an interrupted run")
    with pytest.raises(_MadeAgainError):
        best_static_int8(SPEC, context, comparison)
    assert not list(folder.iterdir())
    file = tmp_path / f"{folder.name}.kept"
    write_kept(file, StaticInt8(method="entropy").model_dump_json().encode())
    assert best_static_int8(SPEC, context, comparison).method == "entropy"
    flip_at(file, share)
    with pytest.raises(_MadeAgainError):
        best_static_int8(SPEC, context, comparison)
    assert said_by(context) == [told(file)]


@pytest.mark.parametrize("name", ["report.kept", "model.onnx"])
@pytest.mark.parametrize("share", FLIPS)
def test_a_candidate_that_was_finished(
    tmp_path: Path, name: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, evaluated = context_in(tmp_path), []

    def made(spec: CandidateSpec, _: Context, folder: Path, **__: Any) -> Any:
        evaluated.append(spec)
        (folder / "model.onnx").write_bytes(b"a file")
        report = candidate(SPEC.name)
        return report.model_copy(update={"sha256": digest_file(folder / "model.onnx")})

    monkeypatch.setattr(evaluate, "evaluate", made)
    logits = np.zeros((1, 2), np.float32)
    first = [evaluate_once(SPEC, context, float_logits=logits) for _ in range(2)]
    assert len(evaluated) == 1
    assert is_evaluated(SPEC, context)
    file = folder_of(SPEC, context) / name
    flip_at(file, share)
    assert not is_evaluated(SPEC, context)
    assert evaluate_once(SPEC, context, float_logits=logits) == first[0] == first[1]
    assert len(evaluated) == 2
    assert said_by(context) == [told(file)]
