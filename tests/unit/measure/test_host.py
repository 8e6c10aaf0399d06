"""The host says whether its processor computes in bfloat16."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.measure import host


@pytest.mark.parametrize(
    ("info", "has_it"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_whether_this_processor_computes_in_bfloat16(
    info: str, has_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(host, "Path", lambda _: tmp_path / "cpuinfo")
    assert host.computes_bfloat16() is has_it
