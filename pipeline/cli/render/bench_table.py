"""Draws what a person reads of a benchmark."""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.cli.render.ratio import ratio_cell
from pipeline.commands.bench.result import BenchResult, BenchRow, Figure, Served
from pipeline.measure.gain import Estimate, Ratio

_LEGEND = (
    "Medians over {rounds} interleaved rounds, 95 % intervals over rounds; a process each, pinned to as many cores as\n"
    "threads. +: a certain gain: more than 3 %, its interval above 1 and above what a file shows against its own\n"
    "copy; -: a certain loss; without a sign, no claim."
)


def draw(console: Console, result: BenchResult) -> None:
    """Draw a block of tables for each number of threads, then sizes, the noise, and what is served."""
    for threads in result.threads:
        gflops = result.gflops[threads]
        console.print(
            f"[bold]{threads} thread{'s' if threads > 1 else ''}[/bold]; a float32 matrix product runs at "
            f"{gflops.value:,.0f} ({gflops.low:,.0f}-{gflops.high:,.0f}) billion operations a second",
            markup=True,
        )
        console.print(_matrix(result, threads, "ms per call", _latency))
        if any(row.role == "eager" for row in result.rows):
            console.print(_matrix(result, threads, "x eager", _over_eager))
        if any(figure.over_float for row in result.rows for figure in row.figures):
            console.print(_matrix(result, threads, f"x {result.baseline}", _over_float))
        console.print(_matrix(result, threads, "of the matrix product's rate", _share))
    console.print(_sizes(result))
    console.print(_LEGEND.format(rounds=result.rounds), style="dim")
    if any(row.one_by_one for row in result.rows):
        console.print("¹ The answer depends on the rest of the batch; run one by one, as it is served.", style="dim")
    console.print(_noise(result))
    if result.served is not None:
        console.print(_served(result.served))
    for what, why in result.left_out.items():
        console.print(f"{what}: left out: {why}", style="dim")
    host = result.host
    libraries = ", ".join(f"{name} {version}" for name, version in host["libraries"].items())
    console.print(f"{host['cpu']}, {host['cores']} core(s); {libraries}; {host['date']}", style="dim")


def _matrix(result: BenchResult, threads: int, heading: str, cell: Callable[[Figure, Ratio], str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(f"  {heading}", no_wrap=True)
    for size in result.batch_sizes:
        table.add_column(f"batch {size}", justify="right", no_wrap=True)
    for row in result.rows:
        cells = (cell(row.figure(threads, size), result.noise[threads, size]) for size in result.batch_sizes)
        table.add_row(_name(result, row), *cells, style=_style(result, row))
    return table


def _sizes(result: BenchResult) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("  size and memory", no_wrap=True)
    for heading in ("kB", "compressed", "load, ms", "peak memory, MB", "multiply-accumulates"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_row(
            _name(result, row),
            f"{row.size / 1000:,.0f}",
            f"{row.compressed / 1000:,.0f}",
            f"{row.load_ms:,.0f}",
            f"{row.peak_bytes / 1e6:,.0f}",
            "-" if row.macs is None else f"{row.macs:,}",
            style=_style(result, row),
        )
    return table


def _name(result: BenchResult, row: BenchRow) -> str:
    mark = "* " if row.role == "candidate" and row.name == result.selected else "  "
    return mark + row.name + (" ¹" if row.one_by_one else "")


def _style(result: BenchResult, row: BenchRow) -> str | None:
    if row.role != "candidate":
        return "dim"
    return "bold green" if row.name == result.selected else None


def _latency(figure: Figure, _noise: Ratio) -> str:
    return _estimate(figure.latency)


def _over_eager(figure: Figure, noise: Ratio) -> str:
    if figure.layout is not None:
        return f"{figure.layout} "  # for eager itself, the memory format that was the faster one
    return _ratio(figure.over_eager, noise)


def _over_float(figure: Figure, noise: Ratio) -> str:
    return _ratio(figure.over_float, noise)


def _share(figure: Figure, _noise: Ratio) -> str:
    share = figure.share
    return "-" if share is None else f"{share.value:.0%} ({share.low:.0%}-{share.high:.0%})"


def _ratio(ratio: Ratio | None, noise: Ratio) -> str:
    return "- " if ratio is None else ratio_cell(ratio, noise)


def _estimate(interval: Estimate) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def _noise(result: BenchResult) -> str:
    """Say what a file shows against its own copy, where it shows the most."""
    (threads, size), worst = max(result.noise.items(), key=lambda item: abs(item[1].value - 1))
    line = (
        f"Noise: {result.baseline} against its own copy is at most {abs(worst.value - 1):.1%} off: "
        f"{worst.value:.3f} ({worst.low:.3f}-{worst.high:.3f}) at {threads} thread(s), batch {size}"
    )
    loud = [ratio for ratio in result.noise.values() if ratio.claim() != "none"]
    if not loud:
        return f"{line}; none is a gain."
    return f"{line}; {len(loud)} of {len(result.noise)} would pass for a gain: this host is too busy, run it again."


def _served(served: Served) -> str:
    return (
        f"Served over HTTP ({served.candidate}, {served.form}, one connection, one worker, "
        f"{served.requests:,} requests): p50 {_estimate(served.p50_ms)} ms, p99 {served.p99_ms:.3f} ms, "
        f"{served.per_second:,.0f} requests/s; without a server {_estimate(served.bare_ms)} ms in the same rounds."
    )
