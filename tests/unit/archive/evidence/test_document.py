"""What evidence says, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.archive.evidence.code import describe_code, portable_settings
from pipeline.archive.evidence.document import package_url, read_evidence
from pipeline.errors import FileError
from pipeline.recipe.loading import load_recipe
from tests.evidence_sample import sample_evidence


def test_settings_hold_no_place_on_the_builders_machine() -> None:
    text = json.dumps(sample_evidence()["recipe"])
    for place in ("/home", "someone", "~", "C:", "\\\\"):
        assert place not in text
    for name in ("w.pth", "b.json", "pictures", "nets:build"):
        assert f'"{name}"' in text


def test_settings_are_resolved_and_leave_out_the_check_of_the_finished_archive() -> None:
    settings = portable_settings(load_recipe("fashion-cnn", ["train.epochs=3"]))
    assert settings["train"]["epochs"] == 3
    assert settings["export"]["opset"] == 20
    assert "smoke" not in settings
    assert "folder" not in settings


def test_timings_are_left_out() -> None:
    assert "timings" not in json.dumps(sample_evidence())


def test_code_is_ours_the_libraries_and_the_users(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("import sklearn\nimport blocks\n")
    (tmp_path / "blocks.py").write_text("import torch\n")
    (tmp_path / "losses.py").write_text("import focal\nimport scipy\n")
    (tmp_path / "focal.py").write_text("")
    code = describe_code(["nets:build", "losses:smooth"], tmp_path)
    assert sorted(code.user_sources) == ["blocks.py", "focal.py", "losses.py", "nets.py"]
    assert "scipy" in code.libraries
    assert {"torch", "onnxruntime", "scikit-learn"} <= set(code.libraries)
    assert "typer" not in code.libraries, "the command line makes no archive"
    (tmp_path / "blocks.py").write_text("import torch  # edited\n")
    again = describe_code(["nets:build", "losses:smooth"], tmp_path)
    assert again.source_sha256 == code.source_sha256
    assert again.user_sources["nets.py"] == code.user_sources["nets.py"]
    assert again.user_sources["blocks.py"] != code.user_sources["blocks.py"]


def test_the_source_of_a_package_installed_for_editing_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src" / "their_nets").mkdir(parents=True)
    (tmp_path / "src" / "their_nets" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert list(describe_code(["their_nets:build"], tmp_path / "recipe").user_sources) == ["their_nets/__init__.py"]


def test_reading_back() -> None:
    evidence = read_evidence("a.mar", sample_evidence())
    assert evidence.packed.name == evidence.candidate == "float.onnx.fp32"
    assert evidence.seeds == {"data": 3, "train": 5}
    assert evidence.model_dump(mode="json") == sample_evidence()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, r"^a\.mar: expected a member evidence\.json, found none; build it with this version$"),
        ({**sample_evidence(), "schema_number": 9}, r"^a\.mar: evidence\.json: schema_number: Input should be 1$"),
        ({**sample_evidence(), "host": "h"}, r"^a\.mar: evidence\.json: host: Extra inputs are not permitted$"),
        ({**sample_evidence(), "candidate": "x"}, r"evidence\.json: expected a row of candidate x, found none$"),
    ],
)
def test_evidence_that_is_none(document: dict[str, object] | None, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_evidence("a.mar", document)


def test_package_urls_are_normalized_and_escaped() -> None:
    assert package_url("Pillow_X", "2.13.0+cpu") == "pkg:pypi/pillow-x@2.13.0%2Bcpu"
