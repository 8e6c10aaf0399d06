"""What a benchmark says of its figures."""

from __future__ import annotations

import pytest

from pipeline.cli.render.bench_table import draw
from pipeline.commands.bench.result import BenchResult, BenchRow, Figure, Role, paired, product_rate, share_of
from pipeline.measure.gain import speed_up
from pipeline.measure.rounds import Timing

PRODUCT = Timing(batch_size=512, rounds_s=(0.002,) * 6)
JITTER = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0)


def timing(seconds: float, batch_size: int = 8) -> Timing:
    return Timing(batch_size=batch_size, rounds_s=tuple(seconds * factor for factor in JITTER))


def row(name: str, seconds: float, role: Role = "candidate") -> BenchRow:
    row_timing = timing(seconds)
    figure = Figure(
        threads=1,
        timing=row_timing,
        over_eager=paired(timing(4e-3).rounds_s, row_timing.rounds_s, same=role == "eager"),
        over_float=paired(timing(1e-3).rounds_s, row_timing.rounds_s, same=name == "float.onnx.fp32"),
        share=share_of(1_000_000, row_timing, product=PRODUCT, product_macs=512**3),
        layout="NCHW" if role == "eager" else None,
    )
    return BenchRow(
        name=name,
        role=role,
        sha256="0" * 64,
        size=2000,
        compressed=1000,
        load_ms=10.0,
        peak_bytes=50_000_000,
        macs=1_000_000,
        one_by_one=name.endswith("int8"),
        figures=(figure,),
    )


def result(copy_s: float) -> BenchResult:
    rows = (
        row("eager", 4e-3, "eager"),
        row("float.onnx.fp32", 1e-3),
        row("float.onnx.int8", 0.95e-3),
        row("float.onnx.fp32, its copy", copy_s, "copy"),
    )
    return BenchResult(
        target="runs/x",
        host={"cpu": "a processor", "cores": 2, "libraries": {"torch": "2.0"}, "date": "2000-01-01T00:00:00+00:00"},
        rounds=6,
        block_ms=5.0,
        threads=(1,),
        batch_sizes=(8,),
        rows=rows,
        selected="float.onnx.int8",
        baseline="float.onnx.fp32",
        noise={(1, 8): speed_up(timing(1e-3).rounds_s, timing(copy_s).rounds_s)},
        gflops={1: product_rate(PRODUCT, 512**3)},
        left_out={"served": "left out as asked"},
        served=None,
    )


def drawn(result: BenchResult) -> str:
    from pipeline.cli.render.plain_console import plain_console

    console = plain_console(width=130)
    with console.capture() as captured:
        draw(console, result)
    return captured.get()


def test_share_and_rate() -> None:
    share = share_of(1_000_000, timing(1e-3), product=PRODUCT, product_macs=512**3)
    assert share is not None
    # 8 examples of a million in 1 ms, of 134 million in 2 ms
    assert share.value == pytest.approx(8e9 / (512**3 / 0.002), rel=0.01)
    assert share_of(None, timing(1e-3), product=PRODUCT, product_macs=512**3) is None
    assert product_rate(PRODUCT, 512**3).value == pytest.approx(2 * 512**3 / 0.002 / 1e9)


@pytest.mark.parametrize(("copy_s", "claim", "quiet"), [(1e-3, "faster", True), (0.93e-3, "none", False)])
def test_no_gain_is_claimed_that_a_copy_shows_too(copy_s: float, claim: str, quiet: bool) -> None:
    document = result(copy_s).to_json()
    figures = {row["name"]: row["figures"][0] for row in document["rows"]}
    assert figures["float.onnx.int8"]["over_float"]["claim"] == claim
    assert figures["float.onnx.int8"]["over_eager"]["claim"] == "faster"
    assert figures["float.onnx.fp32, its copy"]["over_float"]["claim"] == "none"
    assert figures["eager"]["over_eager"] is None
    assert document["noise"][0]["quiet"] is quiet
    assert [row["name"] for row in document["rows"] if row["selected"]] == ["float.onnx.int8"]


def test_the_table_says_what_may_be_claimed() -> None:
    text = drawn(result(1e-3))
    assert "* float.onnx.int8 ¹" in text
    assert "1.05 (1.05-1.05)+" in text
    assert "NCHW" in text
    assert "none is a gain" in text
    assert "served: left out: left out as asked" in text
    assert max(map(len, text.splitlines())) <= 130
    assert "1 of 1 would pass for a gain: this host is too busy, run it again." in " ".join(
        drawn(result(0.93e-3)).split()
    )
