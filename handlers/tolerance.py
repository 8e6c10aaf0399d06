"""Limits on the difference between answers, with a reason for each. This module imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class OutputLimit:
    """What a tolerance knows of one of several outputs: each is compared by itself, in its own unit.

    Args:
        name: name of the output.
        shape: shape of one example.
        absolute: what rounding in float32 does to this output, in its unit.
        usual_spread: usual spread of this output's answers to real inputs, in its unit.
    """

    name: str
    shape: tuple[int, ...]
    absolute: float = 0.0
    usual_spread: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an answer may be from the expected one.

    |found - expected| <= absolute + relative * |expected| + spread * spread of the call + steps * max |expected| / 255

    The spread of a call of the model is the difference between the largest and the smallest value of a row (first
    axis), in the row where it is largest; it is at least `usual_spread`.

    Args:
        absolute: what rounding in float32 does to the compared values, in their unit.
        relative: share of the expected value.
        spread: share of the spread of the same call of the model.
        steps: number of steps, each 1/255 of the largest expected value of the same call of the model. They are for
            values inside a network, where sums cancel.
        usual_spread: usual spread of the answers to real inputs, in the unit of the compared values. With it, two
            classes that nearly tie in one call do not make the limit small.
        same_decision: whether the largest value of a row (last axis) must also be the same one wherever it leads by
            more than the limit. Several outputs have no such row together: it holds where `outputs` is empty.
        outputs: outputs that lie in the columns of the answers one after the other. The spread is that of the output;
            `absolute` and `usual_spread` of each are added to those of all. Empty for answers that are one output.
    """

    absolute: float = 0.0
    relative: float = 0.0
    spread: float = 0.0
    steps: float = 0.0
    usual_spread: float = 0.0
    same_decision: bool = False
    outputs: tuple[OutputLimit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; `outputs` is left out where it is empty."""
        document = asdict(self)
        outputs = [{**output, "shape": list(output["shape"])} for output in document.pop("outputs")]
        return {**document, **({"outputs": outputs} if outputs else {})}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Tolerance:
        """Read what `to_json` wrote; values are not checked here.

        Raises:
            TypeError: a field is unknown or missing.
        """
        fields = dict(document)
        outputs = [OutputLimit(**{**output, "shape": tuple(output["shape"])}) for output in fields.pop("outputs", ())]
        return cls(**fields, outputs=tuple(outputs))


# This is for a lossless step: an export, a freeze, another batch size. Besides what rounding does to this very network,
# answers may differ by a hundred thousandth of the distance between them. That is far below the effect of any change of
# a weight that a person could have meant, and it turns no decision that is not a tie.
FLOAT32 = Tolerance(spread=1e-5, same_decision=True)

# This is for dynamic int8: the same file with and without graph optimizations, in the same batches. A last-bit
# difference in a float layer moves an activation that lies on a rounding boundary by a whole step, and with it all
# logits, large and small. On six trained networks, 2,800 inputs each, up to 0.0015 of the largest logit was measured;
# quantization itself costs 0.003 to 0.010 of it. Logits around zero spread over about twice the largest logit, so
# 0.0049 of it is allowed.
INT8_DYNAMIC = Tolerance(spread=0.00245, same_decision=True)

# This is for static int8: the same file with and without graph optimizations, which is integer kernels on one side and
# float sums of the same quantized values on the other. Most answers agree to the last bit. Where a sum lies on a
# rounding boundary, an activation differs by a whole step, and the layers behind it spread that, up to a half of what
# quantization itself costs. With 2,400 inputs each, as a share of a row's largest logit, the differences measured were
# up to 0.0038 on six files of three trained networks (quantization: 0.007) and 0.0076 on an untrained MobileNetV2
# (0.019); 0.02 is allowed. An untrained ResNet-18, at 0.066 (0.22), fails: a model that depends so much on rounding
# answers differently on the next kind of CPU.
INT8_STATIC = Tolerance(spread=0.01, same_decision=True)

# This is for bfloat16, the same file: a value keeps 8 bits, so a sum in another order moves it by up to 0.004 of
# itself, and the layers behind it spread that. On the processor that made it, the file answers as its module does, to
# the last bit. Between a processor that computes in bfloat16 and one that emulates it, 0.0006 (two convolutions) to
# 0.012 (MobileNetV2, a vision transformer) of a row's largest logit were measured; bfloat16 itself costs 0.006 to 0.025
# of it.
BFLOAT16 = Tolerance(spread=0.01, same_decision=True)
