"""Candidates that were tried and can never be selected, because they cannot be made or could not be proven."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pipeline.candidates.spec import FLOAT_NAMES, CandidateSpec
from pipeline.engine.documents import Document
from pipeline.engine.out_of_memory import no_memory
from pipeline.engine.places import no_room
from pipeline.errors import PipelineError, ProofError, UsageError
from pipeline.formats import FORMATS, FormatName
from pipeline.precision import PRECISIONS, Precision
from pipeline.recipe.passes import Variant

if TYPE_CHECKING:  # an up-to-date build reads rows, and loads no torch for it
    from pipeline.checks.locate.layers import LayerFinding
    from pipeline.checks.parity_report import ParityReport

Refusal = Literal["cannot be made", "not proven"]
NOT_MADE: Final = "cannot be made"
NOT_PROVEN: Final = "not proven"
# Last clause of the message on an artifact where the build ends. A row does not have it.
_ENDING = "; this artifact is not the same model: nothing was packed"
# Absolute folders and addresses in memory belong to this machine and this process.
_FOLDER = re.compile(r"(?<![\w./-])/(?:[^\s/:'\"(),;]+/)+")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")


class Unproven(Document):
    """A row of the table without figures. It has no timings, and no claim is made about the candidate.

    Args:
        name: name of the candidate.
        identity: digest of its specification.
        variant: name of the network.
        format: format that it was to be exported to.
        precision: number format of the weights.
        lossy: whether it may answer differently from float at all.
        verdict: `cannot be made` of this network, or `not proven`: it was made.
        brief: short cause, in a few words; empty where only the reason says it.
        reason: the cause in full, in one line, without paths of this machine.
    """

    name: str
    identity: str
    variant: str
    format: FormatName
    precision: Precision
    lossy: bool
    verdict: Refusal
    brief: str = ""
    reason: str

    @property
    def short(self) -> str:
        """The verdict and its cause, in a few words."""
        return f"{self.verdict}: {self.brief}" if self.brief else self.verdict


class CandidateList(Document):
    """All candidates that were tried.

    Args:
        order: names of the candidates that are proven, in the order of the table.
        compared: number of lossy candidates that could have been selected, including those that a search planned.
        unproven: rows of the other candidates.
        searched: names of the networks that a search made; None without a search.
        decided: number of validation examples by the class that the float network decides for, where the data have no
            labels; else empty.
    """

    title: ClassVar[str] = "the list of candidates"
    order: tuple[str, ...]
    compared: int
    unproven: tuple[Unproven, ...] = ()
    searched: tuple[str, ...] | None = None
    decided: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a recipe asks for by name. The build ends if it cannot be had.

    Args:
        formats: formats that the recipe sets; empty where it leaves them to the defaults.
        variants: names of the variants that the recipe sets; empty where it leaves them to the defaults or to a search.
        candidate: name of the candidate that the recipe selects; None where it selects none.
    """

    formats: tuple[FormatName, ...] = ()
    variants: tuple[str, ...] = ()
    candidate: str | None = None


def unproven(spec: CandidateSpec, verdict: Refusal, reason: str, *, brief: str = "") -> Unproven:
    """Build the row of a candidate.

    Args:
        spec: the candidate that was to be made.
        verdict: whether it cannot be made, or was not proven.
        reason: the cause in full.
        brief: the cause in a few words.
    """
    text = " ".join(reason.removeprefix(f"{spec.name}: ").split())
    return Unproven(
        name=spec.name,
        identity=spec.identity,
        variant=spec.variant,
        format=spec.format,
        precision=spec.precision,
        lossy=spec.lossy,
        verdict=verdict,
        brief=brief,
        reason=_ADDRESS.sub("0x...", _FOLDER.sub("", text)),
    )


def differing(spec: CandidateSpec, parity: ParityReport, finding: LayerFinding) -> Unproven:
    """Build the row of a file that differs from its source. A format in which float cannot run at all cannot be had.

    Args:
        spec: the candidate that was made.
        parity: parity report on its file, which failed.
        finding: the layer at fault.
    """
    from pipeline.checks.parity_report import failure

    if parity.error:
        verdict: Refusal = NOT_PROVEN if spec.lossy else NOT_MADE
        return unproven(spec, verdict, failure(parity), brief="it cannot be replayed")
    failed = sum(not check.comparison.passed for check in parity.checks)
    brief = f"{failed} of {len(parity.checks)} checks failed"
    return unproven(spec, NOT_PROVEN, failure(parity, where=finding.text), brief=brief)


def from_error(spec: CandidateSpec, error: Exception, folder: Path, *, has_file: bool = False) -> Unproven:
    """Build the row of a candidate that failed while it was made, proven or judged.

    Exporters and quantizers raise all kinds of exceptions. An error that says nothing about the network (a full disk or
    memory, a missing file, the end of a search's time) is raised again.

    Args:
        spec: the candidate that was to be made.
        error: the exception that was raised.
        folder: folder of the candidate's files.
        has_file: whether its file exists, so that the error occurred afterwards.

    Raises:
        Exception: the error itself.
    """
    if no_room(error, folder) is not None or no_memory(error) is not None:
        raise error
    match error:
        case ProofError():
            return unproven(spec, NOT_PROVEN, str(error))
        case UsageError():
            return unproven(spec, NOT_MADE, str(error))
        case PipelineError() | OSError():
            raise error
        case _ if spec.lossy:
            text = f"{type(error).__name__}: {str(error)[:300] or 'no more is said'}"
            return unproven(spec, NOT_PROVEN if has_file else NOT_MADE, text)
        case _:
            raise error


def without_format(spec: CandidateSpec, whole: Unproven) -> Unproven:
    """Build the row of a candidate in a format in which the float network cannot be had.

    Args:
        spec: the candidate that was to be made.
        whole: row of the float network in that format.
    """
    return unproven(spec, NOT_MADE, f"{whole.name} {whole.verdict}, and nothing else in this format is tried")


def way_on(row: Unproven, named: Named, formats: Collection[str]) -> str | None:
    """Say what to change in the recipe where a row ends the build; None where it does not end it.

    A float network that does not reproduce its source ends the build in each format that the recipe asks for. A format
    that a network cannot have, a variant or a candidate ends it only where the recipe names it.

    Args:
        row: row of the candidate.
        named: what the recipe names.
        formats: formats that variants are exported to.
    """
    alternatives = [name for name in formats if name != row.format] or [name for name in FORMATS if name != row.format]
    if row.name == named.candidate:
        return "name another one in select.candidate, or none"
    if not row.lossy:
        required = named.formats if row.verdict == NOT_MADE else tuple(formats)
        return f"{_only(alternatives)} to build without it" if row.format in required else None
    if row.variant not in named.variants:
        return None
    possible = [name for name in alternatives if name in PRECISIONS[row.precision].formats]
    elsewhere = f", or {_only(possible)}" if possible else ""
    return f"leave it out of candidates.variants{elsewhere}"


def _only(formats: Sequence[str]) -> str:
    return f"set candidates.formats = {json.dumps(formats)}"


def ending(row: Unproven, way: str, *, file: Path | None = None) -> PipelineError:
    """Build the error with which a row ends the build.

    Args:
        row: row of the candidate.
        way: the change to the recipe that the message proposes.
        file: path of its file; None if it was not made.
    """
    if row.verdict == NOT_MADE:
        return UsageError(f"{row.name}: {row.reason}; {way}")
    where = "" if file is None else f"; the file is kept as {file}"
    return ProofError(f"{row.name}: {row.reason}{where}{_ENDING}; {way}")


def require_float(proven: Collection[str], rows: Sequence[Unproven]) -> None:
    """Stop where the float network can be had in no format.

    Args:
        proven: names of the candidates that are proven.
        rows: rows of the others.

    Raises:
        UsageError: the float network can be made in no format.
    """
    if any(name in proven for name in FLOAT_NAMES):
        return
    whole = [row for row in rows if row.name in FLOAT_NAMES]
    reasons = "; ".join(f"{row.name}: {row.short}: {row.reason}" for row in whole)
    raise UsageError(f"candidates: expected the float network in one format at least, found it in none: {reasons}")


def require_variants(variants: Sequence[Variant], proven: Sequence[CandidateSpec], rows: Sequence[Unproven]) -> None:
    """Stop where a variant that the recipe names is left in no format.

    Args:
        variants: variants that the recipe names.
        proven: the candidates that are proven.
        rows: rows of the others.

    Raises:
        PipelineError: a variant can be had in no format.
    """
    proven_variants = {(spec.variant, spec.precision) for spec in proven}
    for variant in variants:
        if (variant.name, variant.precision) not in proven_variants:
            row = next(row for row in rows if (row.variant, row.precision) == (variant.name, variant.precision))
            raise ending(row, "leave it out of candidates.variants")
