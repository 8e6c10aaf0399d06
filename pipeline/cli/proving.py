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
        typer.Option("--data", metavar="DIR|FILE", help="labelled examples (.safetensors) to judge it on again"),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="of a running server that must answer as the archive does"),
    ] = None,
    float_model: Annotated[
        Path | None,
        typer.Option("--float-model", metavar="FILE", help="the build's float.onnx.fp32/model.onnx, for --url --data"),
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
    from pipeline.cli.render import console
    from pipeline.commands.verify import verify as check
    from pipeline.commands.verify_archive import ArchiveVerification

    with console.Terminal() as terminal:
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


def _lines(found: ArchiveVerification) -> list[str]:
    """What a person reads of a verification."""
    golden = found.golden.checks
    largest = max(one.max_absolute or 0.0 for one in golden)
    sizes = ", ".join(str(one.batch_size) for one in golden if not one.sizes)
    others = "; ".join(dict.fromkeys(one.sizes for one in golden if one.sizes))
    batches = f"batches of {sizes}" + (f" and with {others}" if others else "")
    evidence = "with evidence" if found.evidence else "without evidence of how it was made"
    lines = [
        f"{found.archive}: {found.model}, candidate {found.candidate}, {evidence}",
        f"bytes      canonical, {found.members} members, every digest right",
        f"digest     {found.digest}",
        f"vouched    {_vouched(found)}",
        f"golden     same answers in {batches}: largest difference {largest:.1e}; {found.golden.environment}",
    ]
    if found.golden.empty:
        lines.append("           they prove nothing: one and the same answer to all of them would be inside the limit")
    if not found.golden.confined:
        lines.append("confined   no: this system has no Landlock (Linux 5.13), so the model ran with all your rights")
    if not found.same_handler:
        lines.append("handler    not this installation's, which replayed the model and which `pipeline serve` runs")
    for one in found.quality:
        lines += [f"quality    {_quality(one)}", *(f"           {line}" for line in one.gaps)]
    return lines if found.served is None else lines + _served(found.served)


def _served(served: ServedVerification) -> list[str]:
    """What the running server answered."""
    largest = max(one.max_absolute for one in served.forms)
    forms = ", ".join(dict.fromkeys(one.form for one in served.forms))
    at_once = max(one.at_once for one in served.forms)
    golden = (
        f"served     {served.url}: {served.posted} golden requests ({forms}; alone and {at_once} at once), "
        f"{served.workers} worker(s): same answers, largest difference {largest:.1e}"
    )
    decoded = f"; {served.pictures} pictures of other sizes decoded to the same pixels" if served.pictures else ""
    return [f"{golden}{decoded}"] + [
        f"served     {one.name}: {one.metric} {one.accuracy:.4f} on {one.examples} of {one.available:,} examples; "
        f"{one.flips} flips against the in-process answers{_against_float(one)}"
        for one in served.quality
    ]


def _against_float(one: ServedQuality) -> str:
    if one.float_flips is None or one.float_accuracy is None:
        return ""
    return f", {one.float_flips} against float ({one.metric} {one.float_accuracy:.4f})"


def _vouched(found: ArchiveVerification) -> str:
    by = ["the digest given"] if found.pinned else []
    by += ["the signature"] if found.signature == "valid" else []
    if by:
        return f"by {' and '.join(by)}: these are the bytes that were meant"
    return (
        "by nobody: whoever altered a member and the list of digests alike made this file too; "
        "give --digest or --public-key"
    )


def _quality(one: SplitQuality) -> str:
    which = f"{one.name}, the build's {one.split} split" if one.split else f"{one.name}, not data of the build"
    text = f"{which}: {one.metric} {one.accuracy:.4f} ({one.lower:.4f} to {one.upper:.4f}) on {one.examples:,} examples"
    if one.recorded is None or one.recorded_drop is None or one.recorded_drop_upper is None:
        return text
    drop, bound = one.recorded_drop * 100, one.recorded_drop_upper * 100
    return (
        f"{text}; recorded {one.recorded:.4f}, drop against float {drop:+.2f} points (95 % bound of this one alone "
        f"{bound:+.2f})"
    )
