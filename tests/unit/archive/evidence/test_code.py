"""What evidence says of settings and of code: ours, the libraries' and the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.archive.evidence import code
from pipeline.archive.evidence.code import describe_code, portable_settings
from pipeline.recipe.loading import load_recipe
from tests.evidence_sample import sample_evidence


def test_settings_hold_no_place_on_the_builders_machine() -> None:
    text = json.dumps(sample_evidence()["recipe"])
    for place in ("/home", "someone", "~", "C:", "\\\\"):
        assert place not in text
    for name in ("w.pth", "b.json", "pictures", "nets:build"):
        assert f'"{name}"' in text


def test_settings_are_resolved_and_leave_out_the_check_of_the_finished_archive() -> None:
    settings = portable_settings(load_recipe("fashion-cnn", ["train.epochs=3", "report.examples=none"]))
    assert settings["train"]["epochs"] == 3
    assert settings["export"]["opset"] == 20
    assert not {"smoke", "report"} & settings.keys()
    assert "folder" not in settings


@pytest.mark.parametrize("counted", ["pipeline.commands.graph_file", "pipeline.commands.report_page"])
def test_what_looks_at_a_finished_archive_is_no_part_of_what_makes_it(
    counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = describe_code([], Path()).source_sha256
    others = tuple(package for package in code._AFTERWARDS if package != counted)
    assert len(others) == 1
    monkeypatch.setattr(code, "_AFTERWARDS", others)
    assert describe_code([], Path()).source_sha256 != before


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
