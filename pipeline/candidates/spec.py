"""What a candidate is, and which ones a recipe asks for."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from pipeline._handlers.runtimes import Optimization
from pipeline.engine.artifacts import digest_bytes
from pipeline.formats import FORMATS, FormatName
from pipeline.measure.host import computes
from pipeline.precision import PRECISIONS, Precision
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.names import PruningScope
from pipeline.recipe.passes import (
    Bfloat16,
    DynamicInt8,
    FilePass,
    MagnitudePruning,
    Pass,
    StaticInt8,
    Variant,
    file_pass,
    float_passes,
)

FLOAT = "float"
FALLBACK = "float.onnx.fp32"
# Names of the float network in each format. Speed-ups are over the first one that could be made.
FLOAT_NAMES = tuple(dict.fromkeys((FALLBACK, *(f"{FLOAT}.{form}.fp32" for form in PRECISIONS["fp32"].formats))))


@dataclass(frozen=True, kw_only=True)
class CandidateSpec:
    """A list of passes, a format, a precision and how it is run.

    Args:
        variant: name of the network that the passes make; `float` without passes.
        passes: passes that are applied to the float network, in order.
        format: format that it is exported to.
        precision: number format of the weights.
        optimization: level of the runtime's graph optimizer, when served.
        threads: number of threads of the runtime, when served.
        allow_batch_variant: whether it is served in batches even if its answers depend on them.
    """

    variant: str
    passes: tuple[Pass, ...]
    format: FormatName
    precision: Precision
    optimization: Optimization = "all"
    threads: int = 1
    allow_batch_variant: bool = False

    @property
    def lossy(self) -> bool:
        """Whether it may answer differently from float; an unchanged network may not."""
        return bool(self.passes)

    @property
    def float_passes(self) -> tuple[Pass, ...]:
        """The passes that act on the float network. An ONNX file is quantized after its export."""
        return float_passes(self.passes)

    @property
    def file_pass(self) -> FilePass | None:
        """The pass that acts on the exported file; None where all passes act on the module.

        A file that a pass changed has no torch source.
        """
        return file_pass(self.passes) if FORMATS[self.format].quantized_as_file else None

    @property
    def name(self) -> str:
        """The name for people, which is unique within a recipe."""
        return f"{self.variant}.{self.format}.{self.precision}"

    @property
    def identity(self) -> str:
        """The digest of the specification. With the same name and different passes, the identity differs."""
        document = {
            "passes": [step.model_dump(mode="json") for step in self.passes],
            "format": self.format,
            "optimization": self.optimization,
            "threads": self.threads,
            "allow_batch_variant": self.allow_batch_variant,
        }
        return digest_bytes(json.dumps(document, sort_keys=True).encode())


def baseline_of(names: Collection[str]) -> str:
    """Return the name of the float candidate that others are compared with, in ONNX wherever that could be made.

    Args:
        names: names of the proven candidates. The float network in some format is among them.
    """
    return next(name for name in FLOAT_NAMES if name in names)


def default_variants(amount: float, scope: PruningScope) -> tuple[Variant, ...]:
    """Return the default variants.

    They are the pruned network, float in dynamic and in static int8, the pruned network in dynamic int8, and float in
    bfloat16 where the processor computes in it.

    Args:
        amount: share of the weights that is pruned, as a fraction.
        scope: whether weights are ranked per layer or globally.
    """
    pruning = MagnitudePruning(amount=amount, scope=scope)
    pruned = f"pruned{amount * 100:g}" + ("-global" if scope == "global" else "")
    variants = (
        Variant(name=pruned, passes=(pruning,)),
        Variant(name=FLOAT, passes=(DynamicInt8(),)),
        Variant(name=FLOAT, passes=(StaticInt8(),)),
        Variant(name=pruned, passes=(pruning, DynamicInt8())),
    )
    fast = computes(PRECISIONS["bf16"].needs)
    return (*variants, Variant(name=FLOAT, passes=(Bfloat16(),))) if fast else variants


def candidate_specs(settings: Candidates) -> tuple[CandidateSpec, ...]:
    """Return every candidate that the recipe asks for, float first. `float.onnx.fp32` is always among them."""
    variants = settings.variants
    if variants is None:
        variants = default_variants(settings.pruning_amount, settings.pruning_scope)
    specs = [
        CandidateSpec(
            variant=variant.name,
            passes=variant.passes,
            format=form,
            precision=variant.precision,
            optimization=PRECISIONS[variant.precision].optimization,
            threads=settings.threads,
            allow_batch_variant=settings.allow_batch_variant,
        )
        for variant in (Variant(name=FLOAT, passes=()), *variants)
        for form in settings.formats
        if form in PRECISIONS[variant.precision].formats
    ]
    if FALLBACK not in [spec.name for spec in specs]:
        fallback = CandidateSpec(
            variant=FLOAT,
            passes=(),
            format="onnx",
            precision="fp32",
            threads=settings.threads,
            allow_batch_variant=settings.allow_batch_variant,
        )
        specs.insert(0, fallback)
    return tuple(specs)
