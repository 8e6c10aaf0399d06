"""What is known about one candidate: a row of the table, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, TypeAdapter

from pipeline.candidates.spec import CandidateSpec
from pipeline.engine.documents import Document
from pipeline.engine.handler_fields import RuntimeField, ToleranceField
from pipeline.formats import FormatName
from pipeline.precision import Precision
from pipeline.recipe.passes import Pass
from pipeline.recipe.section import NAME
from pipeline.tasks.quality import QualityReport

T = TypeVar("T", bound="TimingFigures")
How = Literal["script", "trace", "export", "quantize"]


class ParityFigures(Document):
    """How closely the served file reproduces its own source.

    Args:
        reference: what it was compared with.
        checks: how many replays were compared.
        max_absolute: largest difference on a logit.
        max_relative: largest difference as a share of the expected logit; None where a zero was expected and not found.
        cosine: smallest of the checks.
        argmax_agreement: smallest share of equal decisions of the checks.
        nearest: the difference that came closest to its limit.
        limit: the largest difference allowed where the file came closest to its limit.
        batch_invariant: whether an answer is the same whatever else is in the batch.
        batch_difference: largest difference between an answer alone and in a batch.
        runs: the ways in which the file was run: as served, without optimizations, in the reference evaluator.
        not_run: what was left out, by run, and why.
        left_out: kinds of made-up inputs to which the network itself has no steady answer, and why.
        noise: how far float32 takes the network's answers from those in float64; None where that is not known, or where
            quantizing moves them anyway.
        empty: whether one and the same answer to every example would have passed too.
        tolerance: the limit, fitted to the network's answers; golden answers are held to it.
    """

    reference: str
    checks: int
    max_absolute: float
    max_relative: float | None
    cosine: float
    argmax_agreement: float
    nearest: float
    limit: float
    batch_invariant: bool
    batch_difference: float
    runs: tuple[str, ...]
    not_run: dict[str, str]
    left_out: dict[str, str] = Field(default={})
    noise: float | None = None
    empty: bool = False
    tolerance: ToleranceField


class TimingFigures(Document):
    """One-thread latency at one batch size, milliseconds per call, a value per interleaved round."""

    batch_size: int
    median_ms: float
    rounds_ms: tuple[float, ...]


class EagerTiming(TimingFigures):
    """Of the float network run by torch itself.

    Args:
        layout: the memory format that was the faster one at this batch size: `NCHW`, `channels-last`, or `as given`
            where no input is a picture.
    """

    layout: str


def _timing_at(timings: Sequence[T], batch_size: int) -> T:
    for timing in timings:
        if timing.batch_size == batch_size:
            return timing
    raise KeyError(batch_size)


class EagerReport(Document):
    """The float network run by torch itself, timed in the candidates' rounds: a reference, never selected."""

    title: ClassVar[str] = "the timings of eager"

    timings: tuple[EagerTiming, ...]

    def timing(self, batch_size: int) -> EagerTiming:
        """The timing at a batch size.

        Raises:
            KeyError: it was not measured.
        """
        return _timing_at(self.timings, batch_size)


class PassFigures(Document):
    """What one pass really did.

    Args:
        kind: the pass.
        detail: its settings in words.
        sparsity: zero weights as a fraction of all parameters.
        weight_share: touched weights as a fraction of all parameters.
        compute_share: multiply-accumulates of the touched layers as a fraction of all layers'.
        removed_weight_share: parameters that are gone as a fraction of those before the pass.
        removed_compute_share: multiply-accumulates that are gone as a fraction of those before the pass.
        settings: of the pass, as the recipe gives them.
    """

    kind: str
    detail: str
    sparsity: float
    weight_share: float
    compute_share: float
    removed_weight_share: float = 0.0
    removed_compute_share: float = 0.0
    settings: dict[str, Any] = Field(default={})


class CandidateReport(Document):
    """The row of the table: everything measured about one candidate.

    Args:
        name: for people, and of its folder.
        identity: digest of its specification.
        variant: name of the network.
        format: of its file.
        precision: number format of the weights.
        lossy: whether it may answer otherwise than float at all.
        how: its file was written.
        passes: what each did.
        tuned_sha256: of its fine-tuned weights, None without any.
        runtime: how its file is run.
        sha256: of its file.
        size: of its file, in bytes.
        parity: with its own source.
        quality: of its decisions on validation, against float.
        timings: of this host; empty until all candidates are timed side by side.
    """

    title: ClassVar[str] = "a candidate's report"

    # Folders are named after it, also by who did not make it: `pipeline verify RUN_DIR`.
    name: str = Field(pattern=NAME)
    identity: str = Field(pattern=NAME)
    variant: str = Field(pattern=NAME)
    format: FormatName
    precision: Precision
    lossy: bool
    how: How
    passes: tuple[PassFigures, ...]
    tuned_sha256: str | None = None
    runtime: RuntimeField
    sha256: str
    size: int
    parity: ParityFigures
    quality: QualityReport
    timings: tuple[TimingFigures, ...] = ()

    @property
    def spec(self) -> CandidateSpec:
        """What the candidate is: enough to make it again."""
        passes = [{"kind": one.kind, **one.settings} for one in self.passes]
        return CandidateSpec(
            variant=self.variant,
            passes=TypeAdapter(tuple[Pass, ...]).validate_python(passes),
            format=self.format,
            precision=self.precision,
            optimization=self.runtime.optimization,
            threads=self.runtime.threads,
            allow_batch_variant=self.runtime.allow_batch_variant,
        )

    def timing(self, batch_size: int) -> TimingFigures:
        """The timing at a batch size.

        Raises:
            KeyError: it was not measured.
        """
        return _timing_at(self.timings, batch_size)

    def to_evidence(self) -> dict[str, Any]:
        """The row as evidence holds it, as JSON values: without what belongs to a host, an hour or a server."""
        return self.model_dump(mode="json", exclude={"runtime", "timings"})
