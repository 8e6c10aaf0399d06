"""Draws the whole report of a build: its tables and what is said beneath them."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.candidates.choose import WITHIN
from pipeline.cli.render.decisions import decision_legend, decision_table, figure_table, figures_line, points
from pipeline.cli.render.metric_tables import draw_metrics
from pipeline.cli.render.plain_console import PIPE_WIDTH, plain_console
from pipeline.cli.render.ratio import ratio_cell
from pipeline.recipe.names import SLIM_LEGEND
from pipeline.visible import visible

if TYPE_CHECKING:
    from pipeline.candidates.report import CandidateReport, EagerTiming
    from pipeline.candidates.unproven import Unproven
    from pipeline.commands.build_result import BuildResult, Row
    from pipeline.data.dataset import SplitName
    from pipeline.recipe.limits import Budget
    from pipeline.tasks.quality import QualityReport
    from pipeline.tasks.words import DecisionWords

# Share of its own examples that a class loses where it is named beside a verdict within the budget.
_MUCH = 0.25


def _threads(result: BuildResult) -> str:
    threads = result.candidates[0].report.runtime.threads
    return "one thread" if threads == 1 else f"{threads} threads"


def save_picture(result: BuildResult, path: Path) -> None:
    """Save the same as a picture of a terminal, SVG."""
    console = plain_console(width=PIPE_WIDTH, record=True, file=io.StringIO(), force_terminal=True)
    draw_result(console, result)
    # Rich's template fetches a font from the web; the viewer's own font is good enough.
    svg = console.export_svg(title=f"pipeline build {result.recipe}")
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


def draw_result(console: Console, result: BuildResult) -> None:
    """Draw the whole report of a build."""
    console.print(result_table(result))
    console.print(
        f"parity: the difference that came closest to its limit, and that limit; drop: points of "
        f"{_lost(result)} on validation, and its one-sided bound; "
        f"ms: {_threads(result)}, median over interleaved rounds.",
        style="dim",
    )
    for line in _footnotes(result):
        console.print(visible(line), style="dim")
    if not result.labelled:
        console.print(UNLABELLED)
    lossy = [row for row in result.candidates if row.report.lossy]
    if lossy:
        console.print(decision_table(lossy, result.words))
        console.print(decision_legend(lossy, result.limits, result.words), style="dim")
        if lossy[0].report.quality.figures:
            console.print(figure_table([row for row in result.candidates if row.report.lossy or row.selected]))
    console.print(speed_table(result))
    console.print(SPEED_LEGEND.format(baseline=result.baseline), style="dim")
    console.print(pass_table(result))
    for row in result.candidates:
        if not row.selected and row.report.name != result.baseline:
            console.print(visible(f"{row.report.name}: {row.outcome}."), style="dim")
    for line in _class_notes(lossy, result.words):
        console.print(visible(line))
    sure = lossy and lossy[0].report.quality.confident_flips is not None
    if sure and (note := flips_note(result.limits, lossy[0].report.quality.examples)):
        console.print(note)
    draw_metrics(console, result)
    console.print("Selected ", Text(visible(result.selected), style="bold"), visible(f": {result.why}."), sep="")
    console.print(
        f"{test_lines(result)}\nArchive: {result.archive}\n{_unlisted(result)}"
        f"{_page(result)}Picture of the trade-off: {result.run_dir / 'pareto.png'}\n{_augmented(result)}"
        f"{result.run_dir} takes {result.run_bytes / 1e6:,.1f} MB; `pipeline clean` keeps its winner and the evidence."
    )


def _page(result: BuildResult) -> str:
    """Say where the report's page is; empty where there is none."""
    return f"Report, to look at: {result.page}\n" if result.page.is_file() else ""


def _augmented(result: BuildResult) -> str:
    """Say where augmented training pictures are drawn; empty where nothing was augmented."""
    sheet = result.augmentation_sheet
    return "" if sheet is None else f"Training pictures as augmentation leaves them: {sheet}\n"


def _unlisted(result: BuildResult) -> str:
    """Say what a reader of the archive has to allow by name; empty where the model only computes."""
    if not result.unlisted_operators:
        return ""
    options = " ".join(f"--allow-operator {operator}" for operator in result.unlisted_operators)
    return f"It calls operators that may do more than compute: verify, bench and serve want {options}\n"


def _footnotes(result: BuildResult) -> Iterator[str]:
    """Yield what belongs to marks in the table, and why cells of it are empty."""
    reports = [row.report for row in result.candidates]
    variant = [report for report in reports if not report.parity.batch_invariant]
    if variant:
        served = "in batches all the same: the recipe allows it" if _in_batches(variant[0]) else "one by one"
        yield f"¹ The answer depends on the rest of the batch; served {served}."
    if any(report.lossy for report in reports):
        yield from (f"² Of the verdict: {line}." for line in _gaps(result, "validation"))
    if result.searched:
        yield SLIM_LEGEND
    if any(report.parity.empty for report in reports):
        yield "empty: one and the same answer to every example would be inside that limit; the proof says nothing."
    yield from left_out_lines(reports)
    for report in reports:
        yield from (f"{report.name}: not run {run}: {reason}" for run, reason in report.parity.not_run.items())
    yield from unproven_lines(result.unproven)
    if kept := result.kept_epochs:
        epochs = f"epoch {kept[0]}" if len(kept) == 1 else f"epochs {', '.join(map(str, kept))} of its members"
        yield f"float has the weights of {epochs}, which validation chose: its figures there are a little too good."
    if result.processes:
        yield (
            f"float was trained by {' or '.join(map(str, result.processes))} processes, each of which took its part of "
            "every batch."
        )


def _gaps(result: BuildResult, split: SplitName) -> tuple[str, ...]:
    """Say in words what a split holds too little of to judge."""
    held = result.coverage.get(split)
    return () if held is None else held.lines(split, by_float=not result.labelled)


def _lost(result: BuildResult) -> str:
    """Say what a drop is a drop of."""
    return f"{result.metric} lost against\nfloat" if result.labelled else f"{result.metric}\nlost"


def _class_notes(rows: Sequence[Row], words: DecisionWords) -> Iterator[str]:
    for row in rows:
        if note := class_note(row.report.quality, words, allowed=row.verdict.text == WITHIN):
            yield f"{row.report.name} is {row.verdict.text}, but {note} on validation."


def left_out_lines(reports: Sequence[CandidateReport]) -> list[str]:
    """Say which made-up inputs prove nothing of which candidates, and why; one line serves all with the same reason."""
    names: dict[tuple[str, str], list[str]] = {}
    for report in reports:
        for kind, reason in report.parity.left_out.items():
            names.setdefault((kind, reason), []).append(report.name)
    return [
        f"{kind}: made-up inputs left out of {', '.join(shared)}: {reason}" for (kind, reason), shared in names.items()
    ]


def unproven_lines(rows: Sequence[Unproven]) -> list[str]:
    """Say why rows without figures have none; a reason that several share is said once."""
    names: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        names.setdefault((row.verdict, row.reason), []).append(row.name)
    return [f"{', '.join(shared)}: {verdict}: {reason}" for (verdict, reason), shared in names.items()]


UNLABELLED = (
    "The data have no labels. Every figure of quality says how far decisions agree with float's, and none how often "
    "they are right."
)


def flips_note(limits: Budget, examples: int) -> str:
    """Say that so few examples allow no confident flip at all, and what to do; empty where they allow one."""
    share = limits.max_confident_flips
    if not 0 < share * examples < 1:
        return ""
    needed, larger = math.ceil(1 / share), math.ceil(1e4 / examples) / 1e4
    return (
        f"The limit of confident flips, {share:.2%} of {examples:,} validation examples, allows not a single one, so "
        f"hardly any narrower\nnetwork can be selected: give {needed:,} validation examples or more, or a "
        f"budget.max_confident_flips of at least {larger:g}."
    )


def class_note(quality: QualityReport, words: DecisionWords, *, allowed: bool) -> str:
    """Say that one class pays for what the whole gains; empty where none loses a quarter, or the candidate is refused.

    Args:
        quality: quality of a candidate.
        words: words of the task.
        allowed: whether the candidate is inside its limits.
    """
    if not allowed or quality.worst_class_drop < _MUCH:
        return ""
    by_float = "" if quality.judged_by == "targets" else ", as float decides it,"
    return (
        f"{words.group} {visible(quality.worst_class_name)}{by_float} loses {points(quality.worst_class_drop)} points "
        f"of its own ({quality.worst_class_examples:,} examples)"
    )


def test_lines(result: BuildResult) -> str:
    """Say how the winner does on the test set, and whether its limits hold there."""
    test, verdict = result.test, result.test_verdict
    by_float = f", float {test.float_accuracy:.4f}" if result.labelled else ""
    lines = (
        f"Test set, opened for this line alone: {test.metric} {test.accuracy:.4f}{by_float}, "
        f"drop {points(test.drop)} points (bound {points(test.drop_upper)}), {_flips(test)}"
        f"on {test.examples:,} examples."
    )
    if test.figures:
        lines += f"\nThere: {figures_line(test)}."
    if note := class_note(test, result.words, allowed=verdict.text == WITHIN):
        lines += f"\nIt is {verdict.text} there, but {note}."
    for gap in _gaps(result, "test"):
        lines += f"\nOf this line: {visible(gap)}."
    if verdict.allowed:
        return lines
    return (
        f"{lines}\nThe test set does not confirm the budget: {verdict.text} "
        f"(budget {points(result.limits.max_accuracy_drop)} points, bound {points(verdict.adjusted_drop_upper)}, "
        f"smallest provable {verdict.smallest_provable_drop * 100:.2f}); --strict makes this an error."
    )


def _flips(quality: QualityReport) -> str:
    return "" if quality.confident_flips is None else f"{quality.confident_flips} confident flips, "


def result_table(result: BuildResult) -> Table:
    """Draw a row per candidate: parity, accuracy, drop, size, latency, verdict; the winner is marked."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("  candidate", no_wrap=True)
    for heading in ("parity (limit)", result.metric, "drop (bound)", "kB"):
        table.add_column(heading, justify="right", no_wrap=True)
    sizes = [timing.batch_size for timing in result.candidates[0].report.timings]
    for size in sizes:
        table.add_column(f"ms at {size}", justify="right", no_wrap=True)
    table.add_column("verdict")
    gaps = _gaps(result, "validation")
    for row in result.candidates:
        report = row.report
        marks = ("" if report.parity.batch_invariant else " ¹") + (" ²" if gaps and report.lossy else "")
        table.add_row(
            ("* " if row.selected else "  ") + report.name,
            f"{'empty' if report.parity.empty else f'{report.parity.nearest:.1e}'} ({report.parity.limit:.0e})",
            f"{report.quality.accuracy:.4f}",
            f"{points(report.quality.drop)} ({points(row.verdict.adjusted_drop_upper)})" if report.lossy else "-",
            f"{report.size / 1000:,.0f}",
            *(f"{report.timing(size).median_ms:.3f}" for size in sizes),
            row.verdict.text + marks,
            style="bold green" if row.selected else None,
        )
    for absent in result.unproven:
        table.add_row(f"  {absent.name}", *("-" for _ in range(4 + len(sizes))), absent.short, style="dim")
    return table


def speed_table(result: BuildResult) -> Table:
    """Draw how many times faster it is than eager and than float in ONNX Runtime, at the smallest and largest batch."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("  speed of", no_wrap=True)
    measured = [timing.batch_size for timing in result.eager.timings]
    sizes = sorted({min(measured), max(measured)})
    for size in sizes:
        for heading in (f"x eager at {size}", f"x float at {size}"):
            table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("front", no_wrap=True)
    eager = [cell for size in sizes for cell in _eager_cells(result.eager.timing(size))]
    table.add_row("  eager torch, no candidate", *eager, "-", style="dim")
    fronts = result.fronts()
    for row in result.candidates:
        name = row.report.name
        cells = []
        for speed_up in row.speed:
            if speed_up.batch_size in sizes:
                cells += [
                    ratio_cell(speed_up.over_eager),
                    "-" if name == result.baseline else ratio_cell(speed_up.over_float),
                ]
        table.add_row(
            ("* " if row.selected else "  ") + name,
            *cells,
            " ".join(fronts[name]) or "-",
            style="bold green" if row.selected else None,
        )
    return table


SPEED_LEGEND = (
    "x: how many times faster, and its 95 % interval over paired rounds; + a certain gain of more than 3 %,\n"
    "- a certain loss, else no claim. eager: the same network in torch, faster memory format; float: {baseline};\n"
    "front: no other candidate is certainly faster (or smaller), or more accurate, and no worse in the other."
)


def _eager_cells(timing: EagerTiming) -> tuple[str, str]:
    return f"{timing.median_ms:.3f} ms ", f"{timing.layout} "


def pass_table(result: BuildResult) -> Table:
    """Draw what each pass really touched, and what it removed; the same pass on the same network is said once."""
    removes = any(step.removed_weight_share for row in result.candidates for step in row.report.passes)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("network", no_wrap=True)
    table.add_column("pass")
    gone = ("weights gone", "compute gone") if removes else ()
    for heading in ("of the weights", "of the compute", "zeros", *gone):
        table.add_column(heading, justify="right", no_wrap=True)
    drawn = set()
    for row in result.candidates:
        for step in row.report.passes:
            shares = [f"{step.weight_share:.1%}", f"{step.compute_share:.1%}", f"{step.sparsity:.0%}"]
            if removes:
                shares += [f"{step.removed_weight_share:.1%}", f"{step.removed_compute_share:.1%}"]
            if (line := (row.report.variant, f"{step.kind}: {step.detail}", *shares)) not in drawn:
                table.add_row(*line)
                drawn.add(line)
    return table


def _in_batches(report: CandidateReport) -> bool:
    return report.runtime.allow_batch_variant
