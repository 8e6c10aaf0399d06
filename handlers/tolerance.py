"""How far answers may be apart, per kind of difference, with the reason for each limit; the standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an answer may be from the expected one.

    |found - expected| <= absolute + relative * |expected| + spread * spread of the call + steps * max |expected| / 255

    The spread of a call of the model is how far apart the largest and the smallest value of a row (first axis) lie, in
    the row where they lie furthest apart; at least `usual_spread`.

    Args:
        absolute: in the unit of the compared values: what rounding in float32 does to them.
        relative: share of the expected value.
        spread: share of the spread of the same call of the model.
        steps: for values inside a network, where sums cancel: in units of 1/255 of the largest expected value of the
            same call of the model.
        usual_spread: of the answers to real inputs, in the unit of the compared values: two classes that nearly tie in
            one call do not make its limit small.
        same_decision: whether the largest value of a row (last axis) must be the same one as well, wherever it leads by
            more than the limit.
    """

    absolute: float = 0.0
    relative: float = 0.0
    spread: float = 0.0
    steps: float = 0.0
    usual_spread: float = 0.0
    same_decision: bool = False

    def to_json(self) -> dict[str, float | bool]:
        """As JSON values."""
        return asdict(self)


# A lossless step: an export, a freeze, another batch size. Beside what rounding does to this very network, a hundred
# thousandth of the distance between its answers: far below any change of a weight that a person could have meant, and
# no decision that is not a tie hangs on it.
FLOAT32 = Tolerance(spread=1e-5, same_decision=True)

# Dynamic int8, the same file with and without graph optimizations, in the same batches: a last-bit difference in a
# float layer moves an activation that lies on a rounding boundary by a whole step, and with it all logits, large and
# small. Measured on six trained networks, 2,800 inputs each: up to 0.0015 of the largest logit; quantization itself
# costs 0.003 to 0.010 of it. Logits around zero spread over about twice the largest: 0.0049 of that are allowed.
INT8_DYNAMIC = Tolerance(spread=0.00245, same_decision=True)

# Static int8, the same file with and without graph optimizations: integer kernels on one side, float sums of the same
# quantized values on the other. Most answers agree to the last bit; where a sum lies on a rounding boundary, an
# activation differs by a whole step, and the layers behind it spread that, up to a half of what quantization itself
# costs. Measured, 2,400 inputs each, as a share of a row's largest logit: up to 0.0038 on six files of three trained
# networks (quantization: 0.007), 0.0076 on an untrained MobileNetV2 (0.019); 0.02 are allowed. An untrained ResNet-18,
# at 0.066 (0.22), fails: what hangs on rounding so much is another model on the next kind of CPU.
INT8_STATIC = Tolerance(spread=0.01, same_decision=True)

# Bfloat16, the same file: a value keeps 8 bits, so a sum taken in another order moves it by up to 0.004 of itself, and
# the layers behind it spread that. On the processor that made it, the file answers as its module does, to the last bit.
# Measured between a processor that computes in bfloat16 and one that emulates it, as a share of a row's largest logit:
# 0.0006 (two convolutions) to 0.012 (MobileNetV2, a vision transformer); bfloat16 itself costs 0.006 to 0.025 of it.
BFLOAT16 = Tolerance(spread=0.01, same_decision=True)
