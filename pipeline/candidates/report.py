"""The report on one candidate: a row of the table, as data."""

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
        checks: number of replays that were compared.
        max_absolute: largest difference on a logit.
        max_relative: largest difference as a share of the expected logit; None where zero was expected and another
            value came.
        cosine: smallest cosine similarity among the checks.
        argmax_agreement: smallest share of equal decisions among the checks, as a fraction.
        nearest: the difference that came closest to its limit.
        limit: the largest difference allowed where the file came closest to its limit.
        batch_invariant: whether an answer is the same whatever else is in the batch.
        batch_difference: largest difference between an answer alone and in a batch.
        runs: the ways in which the file was run: as served, without optimizations, in the reference evaluator.
        not_run: why runs were left out, by run.
        left_out: why kinds of made-up inputs were left out, by kind. The network itself has no steady answer to them.
        noise: how far the network's answers in float32 are from those in float64; None where that is not known, or
            where quantizing moves them anyway.
        empty: whether one and the same answer to every example would have passed too.
        tolerance: the limit, fitted to the network's answers. Golden answers are checked with it too.
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
    """One-thread latency at one batch size, in milliseconds per call, with a value per interleaved round."""

    batch_size: int
    median_ms: float
    rounds_ms: tuple[float, ...]


class EagerTiming(TimingFigures):
    """The timing of the float network run by torch itself, at one batch size.

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
        """Return the timing at a batch size.

        Raises:
            KeyError: it was not measured.
        """
        return _timing_at(self.timings, batch_size)


class PassFigures(Document):
    """What one pass really did.

    Args:
        kind: kind of the pass.
        detail: its settings in words.
        sparsity: zero weights as a fraction of all parameters.
        weight_share: weights of the layers that it changed, as a fraction of all parameters.
        compute_share: multiply-accumulates of the layers that it changed, as a fraction of all layers'.
        removed_weight_share: parameters that are gone as a fraction of those before the pass.
        removed_compute_share: multiply-accumulates that are gone as a fraction of those before the pass.
        settings: settings of the pass, as the recipe gives them.
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
        name: name of the candidate, for people and for its folder.
        identity: digest of its specification.
        variant: name of the network.
        format: format of its file.
        precision: number format of the weights.
        lossy: whether it may answer differently from float at all.
        how: how its file was written.
        passes: what each of its passes did.
        tuned_sha256: SHA-256 digest of its fine-tuned weights; None without any.
        runtime: how its file is run.
        sha256: SHA-256 digest of its file.
        size: size of its file, in bytes.
        parity: how closely its file reproduces its own source.
        quality: quality of its decisions on validation data, against float.
        timings: timings on this host, one per batch size; empty until all candidates are timed side by side.
    """

    title: ClassVar[str] = "a candidate's report"

    # Folders are named after it, also by `pipeline verify RUN_DIR`, which did not make the report.
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
        """The specification of the candidate, from which it can be made again."""
        passes = [{"kind": figures.kind, **figures.settings} for figures in self.passes]
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
        """Return the timing at a batch size.

        Raises:
            KeyError: it was not measured.
        """
        return _timing_at(self.timings, batch_size)

    def to_evidence(self) -> dict[str, Any]:
        """Return the row for the evidence, as JSON values, without what belongs to a host, an hour or a server."""
        return self.model_dump(mode="json", exclude={"runtime", "timings"})
