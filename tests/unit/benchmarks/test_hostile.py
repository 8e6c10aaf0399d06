"""Which kinds of hostile requests are measured; the measuring itself needs a server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import hostile
from benchmarks.hostile import chosen_kinds
from benchmarks.hostile_requests import HostileRequest
from tests.served_models import GREY, build_archive

REQUESTS = {name: HostileRequest(body=name.encode(), headers={}) for name in ("lists", "long lists", hostile._OPEN)}


@pytest.mark.parametrize(
    ("only", "mixed", "chosen"),
    [
        ("", True, {"lists": 1, "long lists": 1, hostile._OPEN: 1, "all in turn": 2}),
        ("", False, {"lists": 1, "long lists": 1, hostile._OPEN: 1}),
        ("lists", True, {"lists": 1, "long lists": 1, "all in turn": 2}),
        ("long", True, {"long lists": 1}),
        ("form", True, {hostile._OPEN: 1}),
        ("nothing", True, {}),
    ],
)
def test_one_kind_is_measured_once_and_several_in_turn_as_well(only: str, mixed: bool, chosen: dict[str, int]) -> None:
    assert {name: len(requests) for name, requests in chosen_kinds(REQUESTS, only, mixed=mixed).items()} == chosen


def test_no_kind_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = build_archive(tmp_path, [GREY])
    monkeypatch.setattr(sys, "argv", ["hostile", str(archive.path), "--only", "nothing like it"])
    assert hostile.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--only: expected part of a kind's name (")
    assert line.endswith("found 'nothing like it'")
