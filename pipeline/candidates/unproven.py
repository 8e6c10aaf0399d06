"""What was tried and can never be selected: it cannot be made of this network, or could not be proven; and why."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pipeline.candidates.spec import FLOAT_NAMES, CandidateSpec
from pipeline.engine.documents import Document
from pipeline.engine.places import no_room
from pipeline.errors import PipelineError, ProofError, UsageError
from pipeline.formats import FORMATS, FormatName
from pipeline.precision import PRECISIONS, Precision
from pipeline.recipe.passes import Variant

if TYPE_CHECKING:  # an up-to-date build reads rows, and loads no torch for it
    from pipeline.checks.locate.layers import LayerFinding
    from pipeline.checks.parity import ParityReport

Refusal = Literal["cannot be made", "not proven"]
NOT_MADE: Final = "cannot be made"
NOT_PROVEN: Final = "not proven"
# With it ends what is said of an artifact where the build ends, not in a row.
_ENDING = "; this artifact is not the same model: nothing was packed"
# Absolute folders and addresses in memory belong to this machine and this process.
_FOLDER = re.compile(r"(?<![\w./-])/(?:[^\s/:'\"(),;]+/)+")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")


class Unproven(Document):
    """A row of the table without figures: it has no timings, and nothing is claimed of it.

    Args:
        name: of the candidate.
        identity: of its specification.
        variant: name of the network.
        format: what it was to be exported to.
        precision: number format of the weights.
        lossy: whether it may answer otherwise than float at all.
        verdict: `cannot be made` of this network, or `not proven`: it was made.
        brief: what was found, in a few words; empty where only the reason says it.
        reason: the same in full, in one line, without places on this machine.
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
        """The verdict and what was found, in a few words."""
        return f"{self.verdict}: {self.brief}" if self.brief else self.verdict


class CandidateList(Document):
    """All that was tried.

    Args:
        order: names of the candidates that are proven, in the order of the table.
        compared: lossy candidates that could have been selected, planned ones of a search included.
        unproven: the others.
        searched: names of the networks that a search made; None where nothing was searched for.
    """

    title: ClassVar[str] = "the list of candidates"
    order: tuple[str, ...]
    compared: int
    unproven: tuple[Unproven, ...] = ()
    searched: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a recipe asks for by name: without it the build ends.

    Args:
        formats: those that the recipe gives; empty where it leaves them to the defaults.
        variants: names of those that the recipe gives; empty where it leaves them to the defaults or to a search.
        candidate: the one it selects; None where it names none.
    """

    formats: tuple[FormatName, ...] = ()
    variants: tuple[str, ...] = ()
    candidate: str | None = None


def unproven(spec: CandidateSpec, verdict: Refusal, reason: str, *, brief: str = "") -> Unproven:
    """The row of a candidate.

    Args:
        spec: what was to be made.
        verdict: whether it cannot be made, or was not proven.
        reason: why.
        brief: the same in a few words.
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
    """The row of a file that differs from its source; a format in which float cannot be run at all cannot be had.

    Args:
        spec: what was made.
        parity: of its file, which failed.
        finding: the layer at fault.
    """
    from pipeline.checks.parity import failure

    if parity.error:
        verdict: Refusal = NOT_PROVEN if spec.lossy else NOT_MADE
        return unproven(spec, verdict, failure(parity), brief="it cannot be replayed")
    failed = sum(not check.comparison.passed for check in parity.checks)
    brief = f"{failed} of {len(parity.checks)} checks failed"
    return unproven(spec, NOT_PROVEN, failure(parity, where=finding.text), brief=brief)


def from_error(spec: CandidateSpec, error: Exception, folder: Path, *, made: bool = False) -> Unproven:
    """The row of a candidate that failed while it was made, proven or judged.

    Exporters and quantizers raise all kinds of exceptions. What says nothing about the network (a full disk or memory,
    a missing file, the end of a search's time) is raised again.

    Args:
        spec: what was to be made.
        error: what was raised.
        folder: where the candidate's files are written.
        made: whether its file is there, so that it happened afterwards.

    Raises:
        Exception: the error itself.
    """
    if no_room(error, folder) is not None:
        raise error
    match error:
        case ProofError():
            return unproven(spec, NOT_PROVEN, str(error))
        case UsageError():
            return unproven(spec, NOT_MADE, str(error))
        case PipelineError() | OSError() | MemoryError():
            raise error
        case _ if spec.lossy:
            said = f"{type(error).__name__}: {str(error)[:300] or 'no more is said'}"
            return unproven(spec, NOT_PROVEN if made else NOT_MADE, said)
        case _:
            raise error


def without_format(spec: CandidateSpec, whole: Unproven) -> Unproven:
    """The row of a candidate in a format in which the float network cannot be had.

    Args:
        spec: what was to be made.
        whole: the float network in that format.
    """
    return unproven(spec, NOT_MADE, f"{whole.name} {whole.verdict}, and nothing else in this format is tried")


def way_on(row: Unproven, named: Named, formats: Collection[str]) -> str | None:
    """What to change in the recipe where a row ends the build; None where it does not.

    Float that does not reproduce its source ends it in each format that the recipe asks for; a format that a network
    cannot have, a variant or a candidate, only where the recipe names it.

    Args:
        row: of the candidate.
        named: what the recipe names.
        formats: what variants are exported to.
    """
    others = [name for name in formats if name != row.format] or [name for name in FORMATS if name != row.format]
    if row.name == named.candidate:
        return "name another one in select.candidate, or none"
    if not row.lossy:
        wanted = named.formats if row.verdict == NOT_MADE else tuple(formats)
        return f"{_only(others)} to build without it" if row.format in wanted else None
    if row.variant not in named.variants:
        return None
    possible = [name for name in others if name in PRECISIONS[row.precision].formats]
    elsewhere = f", or {_only(possible)}" if possible else ""
    return f"leave it out of candidates.variants{elsewhere}"


def _only(formats: Sequence[str]) -> str:
    return f"set candidates.formats = {json.dumps(formats)}"


def ending(row: Unproven, way: str, *, kept: Path | None = None) -> PipelineError:
    """The error with which a row ends the build.

    Args:
        row: of the candidate.
        way: what to change in the recipe.
        kept: where its file lies, if it was made.
    """
    if row.verdict == NOT_MADE:
        return UsageError(f"{row.name}: {row.reason}; {way}")
    where = "" if kept is None else f"; the file is kept as {kept}"
    return ProofError(f"{row.name}: {row.reason}{where}{_ENDING}; {way}")


def require_float(proven: Collection[str], rows: Sequence[Unproven]) -> None:
    """Stop where the float network can be had in no format.

    Args:
        proven: names of the candidates that are.
        rows: of the others.

    Raises:
        UsageError: it can be made in none.
    """
    if any(name in proven for name in FLOAT_NAMES):
        return
    whole = [row for row in rows if row.name in FLOAT_NAMES]
    said = "; ".join(f"{row.name}: {row.short}: {row.reason}" for row in whole)
    raise UsageError(f"candidates: expected the float network in one format at least, found it in none: {said}")


def require_variants(variants: Sequence[Variant], proven: Sequence[CandidateSpec], rows: Sequence[Unproven]) -> None:
    """Stop where a variant that the recipe names is left in no format.

    Args:
        variants: that the recipe names.
        proven: the candidates that are.
        rows: of the others.

    Raises:
        UsageError: it can be made in none.
    """
    had = {(spec.variant, spec.precision) for spec in proven}
    for variant in variants:
        if (variant.name, variant.precision) not in had:
            row = next(row for row in rows if (row.variant, row.precision) == (variant.name, variant.precision))
            raise ending(row, "leave it out of candidates.variants")
