"""Evil archives are refused in one line by all that would use them, before anything of them runs; their twin passes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from pipeline import cli
from pipeline.archive.mar import Archive
from pipeline.serving.state import read_states
from tests.evidence_sample import sample_evidence
from tests.faulty_archives import Change, made_again, zipped
from tests.integration.evil.trust import EVIL, Evil, forged
from tests.served_models import GREY, build_archive, linear_onnx


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("good"), [GREY], evidence=sample_evidence())


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))


def marking(canary: Path) -> bytes:
    return f"open({str(canary)!r}, 'w').close()\n".encode()


@pytest.mark.parametrize("evil", EVIL, ids=lambda evil: evil.name)
def test_refused_before_anything_runs(
    evil: Evil, archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, canary = tmp_path / "evil.mar", tmp_path / "canary"
    path.write_bytes(evil.make(archive, marking(canary)))
    before = set(tmp_path.rglob("*"))
    for arguments in (["verify", str(path)], ["serve", str(path), "--timeout", "1"], ["evidence", str(path)]):
        assert cli._run(arguments) == 3
        out, error = capfd.readouterr()
        assert out == ""
        assert error.startswith(f"error: {path}: ")
        assert error.count("\n") == 1, "one line"
        assert error.removesuffix("\n").isprintable()
        assert re.search(evil.line, error), error
    assert set(tmp_path.rglob("*")) == before, "neither the canary nor a server's state"
    assert read_states() == []


def test_the_good_twin_passes(archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "twin.mar"
    path.write_bytes(forged(archive))
    assert cli._run(["verify", str(path)]) == 0
    assert "golden     same answers" in capfd.readouterr().out


def _of_evidence(*path: str | int, value: object) -> Change:
    def change(document: dict[str, Any]) -> None:
        inner: Any = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            _of_evidence("metrics", "validation", "accuracy", value=float("nan")),
            "metrics.validation: Value error, accuracy: expected a number from -1 to 1, found nan",
        ),
        (
            _of_evidence("metrics", "test", value=None),
            "metrics.test: Value error, expected an object of figures, found No",
        ),
        (_of_evidence("metrics", "test", value={}), "metrics.test: Value error, accuracy: expected a number from -1"),
        (
            _of_evidence("candidates", 0, "more", value=1),
            "evidence.json: candidates.0.more: Extra inputs are not permitted",
        ),
        (_of_evidence("candidate", value="another"), "evidence.json: expected a row of candidate another, found none"),
        (_of_evidence("recipe", value={}), "evidence.json: expected what `pipeline build` writes, found KeyError"),
        (_of_evidence("schema_number", value=9), "evidence.json: schema_number: Input should be 1"),
    ],
)
def test_evidence_that_is_none_is_refused_in_one_line(
    change: Change, line: str, archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made_again(archive, tmp_path / "a.mar", evidence=change)
    assert cli._run(["evidence", str(tmp_path / "a.mar")]) == 3
    out, error = capfd.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert line in error


def test_labels_that_steer_a_terminal_are_shown_escaped(
    archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = ["\x1b]0;owned\x07", "a\u202eb", "c\nerror: forged", "[/red]", "e"]
    path = tmp_path / "a.mar"
    made_again(
        archive, path, serving=lambda one: one.update(labels=labels), evidence=lambda one: one.update(labels=labels)
    )
    for arguments in (["verify", str(path)], ["evidence", str(path)], ["inspect", str(path)]):
        assert cli._run(arguments) == 0
        out, error = capfd.readouterr()
        assert all(line.isprintable() for line in (out + error).split("\n"))
    assert cli._run(["evidence", str(path), "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["labels"] == labels


def test_names_in_a_model_file_are_shown_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.load_from_string(linear_onnx([GREY]))
    for node in model.graph.node:
        node.name = "layer\x1b[2J\nerror: forged"
    model.producer_name = "tool\x9b31m"
    onnx.save(model, tmp_path / "a.onnx")
    assert cli._run(["inspect", str(tmp_path / "a.onnx")]) == 0
    said = capfd.readouterr().out
    assert all(line.isprintable() for line in said.split("\n"))
    assert r"layer\x1b[2J\nerror: forged" in said
    assert r"made by tool\x9b31m" in said


@pytest.mark.parametrize("serving", [b"{}", b'{"model": 1}', b'{"model": {}, "candidate": [], "labels": 3}'])
def test_inspect_takes_any_description(
    serving: bytes, archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mar").write_bytes(zipped(sorted({**archive.members, "serving.json": serving}.items())))
    assert cli._run(["inspect", str(tmp_path / "a.mar")]) == 0
    assert "serving.json: expected model, candidate and labels, found another description" in capfd.readouterr().out
