"""Recipe sections of the networks that are made and compared: `[candidates]`, `[search]`, `[export]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.formats import FORMATS, FormatName
from pipeline.precision import PRECISIONS
from pipeline.recipe.names import (
    PruningScope,
    SearchEffort,
)
from pipeline.recipe.passes import Pass, Variant
from pipeline.recipe.section import Section

# Number formats that not every file format has.
_ELSEWHERE = ", ".join(
    f"one with {facts.made_by} to {' and '.join(facts.formats)} alone"
    for facts in PRECISIONS.values()
    if facts.made_by is not None and set(facts.formats) < set(FORMATS)
)


class Candidates(Section):
    """Which networks are compared. Float is always among them."""

    pruning_amount: float = Field(
        default=0.3, gt=0, lt=1, description="share of weights set to zero in the default variants"
    )
    pruning_scope: PruningScope = Field(
        default="layer", description="rank weights per layer or over all layers in the default variants"
    )
    formats: tuple[FormatName, ...] = Field(
        default=("torchscript", "onnx"),
        min_length=1,
        description=f"what each variant is exported to ({_ELSEWHERE}); float.onnx.fp32 is always tried. If not given, "
        "a format that the network cannot have is left out",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="inside one call, timed and served; a server's workers times threads should not exceed its cores",
    )
    allow_batch_variant: bool = Field(
        default=False,
        description="serve a candidate whose answer depends on the rest of its batch in batches, not one by one",
    )
    variants: tuple[Variant, ...] | None = Field(
        default=None,
        description="instead of the default variants (pruned, int8, pruned and int8, and bfloat16 "
        "where the processor computes in it)",
    )

    @model_validator(mode="after")
    def _one_network_per_name(self) -> Candidates:
        networks: dict[str, tuple[Pass, ...]] = {"float": ()}
        seen = {("float", "fp32")}
        for variant in self.variants or ():
            if networks.setdefault(variant.name, variant.float_passes) != variant.float_passes:
                raise ValueError(f"variant {variant.name!r} names two different networks; give each its own name")
            if (variant.name, variant.precision) in seen:
                raise ValueError(
                    f"variant {variant.name!r} at {variant.precision} is given twice (float at fp32 is built in)"
                )
            seen.add((variant.name, variant.precision))
            possible = PRECISIONS[variant.precision].formats
            if not set(possible) & set(self.formats):
                raise ValueError(
                    f"variant {variant.name!r} at {variant.precision}: expected {' or '.join(possible)} among formats, "
                    f"found {', '.join(self.formats)}; add it, or leave the variant out"
                )
        return self

    @property
    def named_formats(self) -> tuple[FormatName, ...]:
        """The formats that the recipe names. A build ends if a network cannot be made in one of them."""
        return self.formats if "formats" in self.model_fields_set else ()


Goal = Literal["latency", "throughput", "size"]


class Search(Section):
    """The search for the smallest network inside the budget: channels pruned, fine-tuned, in several number formats."""

    effort: SearchEffort | Literal["off"] | None = Field(
        default=None,
        description="off: none; quick: a few networks, fine-tuned for some epochs each; deep: more, at finer steps, "
        "for five times as many. If not given quick, or off where candidates.variants or select.candidate says which "
        "networks to compare, or nothing is exported to ONNX",
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        description="the search ends after these, with what is finished; 5 for quick, 90 for deep if not given",
    )
    shift: int | None = Field(
        default=None,
        ge=0,
        description="move training pictures by up to so many pixels each way while networks are fine-tuned, so that "
        "they learn less by heart in many epochs; as in [train] if not given",
    )
    round_to: int | None = Field(
        default=None,
        ge=1,
        description="channel counts become multiples of this. If not given 8, or 16 where the goal is speed and this "
        "CPU has AVX-512, with which ONNX Runtime computes so many at a time; give that of the CPU that will serve",
    )
    goal: Goal | None = Field(default=None, description="another name for select.goal")


class Export(Section):
    """How files are exported."""

    opset: int = Field(default=20, ge=18, le=23, description="ONNX operator set version")
