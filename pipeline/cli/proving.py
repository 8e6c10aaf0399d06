"""Commands that prove or vouch: verify, evidence, sign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.archive.evidence.forms import Form
from pipeline.cli.answer import say
from pipeline.cli.app import AllowOperator, Digest, Json, PublicKey, RequireSignature, app, print_json
from pipeline.cli.run_check import run_lines

if TYPE_CHECKING:
    from pipeline.commands.verify_archive import ArchiveVerification, SplitQuality
    from pipeline.serving.check import ServedQuality, ServedVerification

Archive = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="a .mar that pipeline build made")]


@app.command()
def verify(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_DIR|ARCHIVE", help="the run directory of a build, or the .mar that it made")
    ],
    *,
    digest: Digest = None,
    public_key: PublicKey = None,
    require_signature: RequireSignature = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR|FILE", help="examples (.safetensors) to judge it on again"),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="of a running server that must answer as the archive does"),
    ] = None,
    float_model: Annotated[
        Path | None,
        typer.Option(
            "--float-model",
            metavar="FILE",
            help="the build's float.onnx.fp32/model.onnx, for --url --data, and for --data without labels",
        ),
    ] = None,
    allow_operator: AllowOperator = None,
    rank: Annotated[
        bool, typer.Option("--rank", help="of a run: also which layers cost a candidate over budget its accuracy")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold a run's candidates against their sources again, layer by layer; or check an archive offline.

    An archive: every byte, digest or signature, golden answers; with --data, quality; with --url, all of it through a
    running server as well. These options are for archives, --rank is for a run directory.
    """
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands.verify import verify as check
    from pipeline.commands.verify_archive import ArchiveVerification

    with Terminal() as terminal:
        verification = check(
            target,
            rank=rank,
            strict=False,
            digest=digest,
            public_key=public_key,
            require_signature=require_signature,
            data=data,
            url=url,
            float_model=float_model,
            allowed_operators=allow_operator or (),
            reporter=terminal,
        )
    if as_json:
        print_json(verification.to_json())
    elif isinstance(verification, ArchiveVerification):
        say(*_lines(verification))
    else:
        say(*run_lines(verification, rank=rank))
    if not isinstance(verification, ArchiveVerification):
        verification.require()


@app.command()
def evidence(
    archive: Archive,
    form: Annotated[
        Form,
        typer.Option("--format", help="as it is, SLSA provenance, CycloneDX ML-BOM, or a model card"),
    ] = "markdown",
) -> None:
    """Tell where an archive comes from and what was measured, from the evidence inside it."""
    from pipeline.commands.evidence import evidence as tell

    document = tell(archive, form=form)
    if isinstance(document, str):
        say(*document.removesuffix("\n").split("\n"))
    else:
        print_json(document)


@app.command()
def sign(
    archive: Archive,
    key: Annotated[Path, typer.Option("--key", metavar="PEM", help="elliptic-curve private key, without a password")],
) -> None:
    """Sign an archive (OpenSSF model-signing, local key); the signature is written beside it as ARCHIVE.sig."""
    from pipeline.commands.sign import sign as write_signature

    say(write_signature(archive, key))


def _lines(verification: ArchiveVerification) -> list[str]:
    """Return the lines that a person reads of a verification."""
    golden = verification.golden.checks
    largest = max(check.max_absolute or 0.0 for check in golden)
    sizes = ", ".join(str(check.batch_size) for check in golden if not check.sizes)
    others = "; ".join(dict.fromkeys(check.sizes for check in golden if check.sizes))
    batches = f"batches of {sizes}" + (f" and with {others}" if others else "")
    evidence = "with evidence" if verification.evidence else "without evidence of how it was made"
    lines = [
        f"{verification.archive}: {verification.model}, candidate {verification.candidate}, {evidence}",
        f"bytes      canonical, {verification.members} members, every digest right",
        f"digest     {verification.digest}",
        f"vouched    {_voucher(verification)}",
        f"golden     same answers in {batches}: largest difference {largest:.1e}; {verification.golden.environment}",
    ]
    if verification.golden.empty:
        lines.append("           they prove nothing: one and the same answer to all of them would be inside the limit")
    if not verification.golden.confined:
        lines.append("confined   no: this system has no Landlock (Linux 5.13), so the model ran with all your rights")
    if not verification.same_handler:
        lines.append("handler    not this installation's, which replayed the model and which `pipeline serve` runs")
    for split in verification.quality:
        lines += [f"quality    {_quality(split)}", *(f"           {line}" for line in split.gaps)]
    lines += [
        f"quality    {name}: not judged: it has no labels, and --float-model gives no float network to agree with"
        for name in verification.unjudged
    ]
    return lines if verification.served is None else lines + _served(verification.served)


def _served(served: ServedVerification) -> list[str]:
    """Return the lines on what the running server answered."""
    largest = max(form.max_absolute for form in served.forms)
    forms = ", ".join(dict.fromkeys(form.form for form in served.forms))
    at_once = max(form.at_once for form in served.forms)
    golden = (
        f"served     {served.url}: {served.posted} golden requests ({forms}; alone and {at_once} at once), "
        f"{served.workers} worker(s): same answers, largest difference {largest:.1e}"
    )
    decoded = f"; {served.pictures} pictures of other sizes decoded to the same pixels" if served.pictures else ""
    return [f"{golden}{decoded}"] + [
        f"served     {quality.name}: {_figure(quality)}on {quality.examples} of {quality.available:,} examples; "
        f"{quality.flips} flips against the in-process answers{_against_float(quality)}"
        for quality in served.quality
    ]


def _figure(quality: ServedQuality) -> str:
    return "" if quality.accuracy is None else f"{quality.metric} {quality.accuracy:.4f} "


def _against_float(quality: ServedQuality) -> str:
    if quality.float_flips is None:
        return ""
    if quality.float_accuracy is None:
        return f", {quality.float_flips} against float"
    return f", {quality.float_flips} against float ({quality.metric} {quality.float_accuracy:.4f})"


def _voucher(verification: ArchiveVerification) -> str:
    by = ["the digest given"] if verification.pinned else []
    by += ["the signature"] if verification.signature == "valid" else []
    if by:
        return f"by {' and '.join(by)}: these are the bytes that were meant"
    return (
        "by nobody: whoever altered a member and the list of digests alike made this file too; "
        "give --digest or --public-key"
    )


def _quality(split: SplitQuality) -> str:
    which = f"{split.name}, the build's {split.split} split" if split.split else f"{split.name}, not data of the build"
    interval = f"{split.lower:.4f} to {split.upper:.4f}"
    text = f"{which}: {split.metric} {split.accuracy:.4f} ({interval}) on {split.examples:,} examples"
    if split.recorded is None or split.recorded_drop is None or split.recorded_drop_upper is None:
        return text
    drop, bound = split.recorded_drop * 100, split.recorded_drop_upper * 100
    return (
        f"{text}; recorded {split.recorded:.4f}, drop against float {drop:+.2f} points (95 % bound of this one alone "
        f"{bound:+.2f})"
    )
