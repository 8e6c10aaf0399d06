"""What `predict` does with --data, and `compare`: archives answer a folder, a table or arrays without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import AllowOperator, Json, PublicKey, RequireSignature, app, print_json
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.commands.predict_archive import ArchiveAnswers
    from pipeline.scoring.comparison import ArchiveComparison
    from pipeline.scoring.differences import Difference

_ARCHIVE = ".mar"


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the .mar that is in use")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the .mar that might replace it")],
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DIR|FILE", help="splits of a build, pictures, a table (.csv, .parquet) or arrays"
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="COLUMN", help="of a table or labels.csv: what is right; may be given again"),
    ] = None,
    max_differing: Annotated[
        float | None,
        typer.Option("--max-differing", metavar="SHARE", help="largest share of decisions that may differ, as 0.01"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="every example that differs, with both answers (.csv)")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="processes that answer, for each archive")] = 1,
    public_key: PublicKey = None,
    require_signature: RequireSignature = False,
    allow_operator: AllowOperator = None,
    as_json: Json = False,
) -> None:
    """Count the decisions in which two archives differ: may the new one replace the old one?

    It ends with code 5 where a limit is given, and 95 % confidence does not reach it.
    """
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands.compare import compare as compare_archives

    with Terminal() as terminal:
        comparison = compare_archives(
            old,
            new,
            data=data,
            targets=target or (),
            max_differing=max_differing,
            out=out,
            workers=workers,
            public_key=public_key,
            require_signature=require_signature,
            allowed_operators=allow_operator or (),
            reporter=terminal,
        )
    if as_json:
        print_json(comparison.to_json())
    else:
        say(*_comparison_lines(comparison))
    comparison.require()


def require_files(files: Sequence[Path], options: Mapping[str, Any]) -> None:
    """Check that nothing on the command line belongs to an archive, where a server is asked.

    Raises:
        UsageError: a file is an archive, or an option is for archives.
    """
    if archives := [file for file in files if file.suffix.lower() == _ARCHIVE]:
        raise UsageError(
            f"{archives[0]}: expected files to ask the server about, found an archive; to answer a folder or a table "
            f"with it: pipeline predict {archives[0]} --data FOLDER|FILE --out answers.csv"
        )
    if option := next((name for name, value in options.items() if value is not None), None):
        raise UsageError(
            f"{option}: expected an archive and --data with it, found files for the running server; "
            "leave it out, or: pipeline predict ARCHIVE --data FOLDER|FILE --out answers.csv"
        )


def require_archive(files: Sequence[Path], *, out: Path | None, url: str | None) -> Path:
    """Return the archive that `--data` is for.

    Raises:
        UsageError: it is not one archive, `--out` is missing, or a server is named.
    """
    if len(files) != 1 or files[0].suffix.lower() != _ARCHIVE:
        shown = str(files[0]) if len(files) == 1 else f"{len(files)} files"
        raise UsageError(f"--data: expected one archive (.mar) in front of it, found {shown}")
    if url is not None:
        raise UsageError("--url: expected no server with --data, which the archive answers by itself; leave one out")
    if out is None:
        raise UsageError("--data: expected the file to write the answers to; give --out answers.csv")
    return files[0]


def answer_archive(archive: Path, *, as_json: bool, **options: Any) -> None:
    """Answer data with an archive, and say what was done.

    Args:
        archive: path of the archive.
        as_json: whether to print one document.
        options: options of `pipeline.predict_archive`.
    """
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands.predict_archive import predict_archive

    with Terminal() as terminal:
        answers = predict_archive(archive, reporter=terminal, **options)
    if as_json:
        print_json(answers.to_json())
    else:
        say(*_answer_lines(answers))
    answers.require()


def _answer_lines(answers: ArchiveAnswers) -> list[str]:
    new = answers.examples - answers.resumed_at
    earlier = f", {answers.resumed_at:,} of them by an earlier run" if answers.resumed_at else ""
    return [
        f"{answers.out}: {answers.examples:,} answers of {answers.model}, digest {answers.digest[:12]}{earlier}"
        if not answers.failed
        else f"{answers.out}: {answers.examples - answers.failed:,} answers and {answers.failed:,} errors of "
        f"{answers.model}, digest {answers.digest[:12]}{earlier}",
        f"{new:,} in {answers.seconds:.1f} s, {answers.per_second:,.0f} a second",
    ]


def _comparison_lines(comparison: ArchiveComparison) -> list[str]:
    """Return the lines that a person reads of a comparison."""
    lines = [
        f"old        {comparison.old}: {comparison.old_model}",
        f"new        {comparison.new}: {comparison.new_model}",
        f"examples   {comparison.examples:,} of {comparison.data}"
        + (f"; {comparison.unanswered:,} more that neither answers" if comparison.unanswered else ""),
        f"differing  {comparison.differing:,}, {_percent(comparison.share)} (95 % interval "
        f"{_percent(comparison.lower)} to {_percent(comparison.upper)}); with 95 % confidence at most "
        f"{_percent(comparison.bound)}"
        + (f"; {comparison.one_sided:,} that one of the two does not answer" if comparison.one_sided else ""),
    ]
    if comparison.metric is not None:
        metric = comparison.metric
        lines.append(
            f"{metric.metric:<10} {metric.old:.4f}, then {metric.new:.4f}: drop {metric.drop * 100:+.2f} points "
            f"(95 % interval {metric.lower * 100:+.2f} to {metric.upper * 100:+.2f})"
        )
    if comparison.largest is None:
        lines.append("outputs    not compared: one model answers with logits, the other with probabilities")
    else:
        largest = comparison.largest
        where = f"; largest difference {largest.value:.3g}, of {largest.output} in {_named(largest.name)}"
        lines.append(
            f"outputs    the same bit for bit for {comparison.identical:,} examples{where if largest.value else ''}"
        )
    lines += [_difference_line(difference) for difference in comparison.differences]
    if (more := comparison.differing - len(comparison.differences)) > 0:
        lines.append(f"           and {more:,} more (--out FILE.csv holds all)")
    return [*lines, comparison.sentence]


def _difference_line(difference: Difference) -> str:
    right = "" if difference.target is None else f" (right: {difference.target})"
    reason = f": {difference.reason}" if difference.reason else ""
    return f"           {_named(difference.name)}{right}: {difference.old_words}, then {difference.new_words}{reason}"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _named(name: str | int) -> str:
    return name if isinstance(name, str) else f"row {name}"
