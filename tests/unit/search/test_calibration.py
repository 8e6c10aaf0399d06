"""Which settings of static int8 are taken, on measurements made up for it."""

from __future__ import annotations

import pytest

from pipeline.recipe.passes import StaticInt8
from pipeline.search.calibration import CalibratedSettings, closest, with_float_convolutions


class Measured:
    """Divergence by method; each layer in int8 changes some decisions of its own."""

    def __init__(self, methods: dict[str, float], layers: dict[str, float]) -> None:
        self.methods = methods
        self.layers = layers
        self.asked: list[StaticInt8] = []

    def __call__(self, settings: StaticInt8) -> CalibratedSettings:
        self.asked.append(settings)
        changed = sum(share for layer, share in self.layers.items() if layer not in settings.keep)
        return CalibratedSettings(
            settings=settings, changed=changed, divergence=self.methods[settings.method] + changed
        )


METHODS = {"minmax": 0.3, "entropy": 0.1, "percentile": 0.2}


def test_the_nearest_method_is_enough_where_little_changes() -> None:
    measured = Measured(METHODS, {"a": 0.001, "b": 0.002})
    assert closest(["a", "b"], measured).settings == StaticInt8(method="entropy")
    assert len(measured.asked) == 3


def test_layers_stay_in_float_until_little_changes() -> None:
    measured = Measured(METHODS, {"a": 0.001, "b": 0.05, "c": 0.002, "d": 0.02, "e": 0.001, "f": 0.0})
    best = closest(list("abcdef"), measured)
    assert best.settings.keep == ("b", "d")
    assert best.changed < 0.005


def test_at_most_half_of_the_layers_and_none_that_helps_nothing() -> None:
    assert closest(list("abcd"), Measured(METHODS, dict.fromkeys("abcd", 0.1))).settings.keep == ("a", "b")
    assert closest(["a"], Measured(METHODS, {"a": 0.9})).settings.keep == ()
    measured = Measured(METHODS, {"elsewhere": 0.9})
    assert closest(["a", "b"], measured).settings.keep == ()


KINDS = {"a": "Conv", "b": "Conv", "c": "Gemm"}


@pytest.mark.parametrize(
    ("kinds", "before", "better", "asked_for", "after"),
    [
        (KINDS, (), (("a",),), [(("a",), ()), (("a", "b"), ("a",))], ("a",)),
        (KINDS, (), (("a",), ("a", "b")), [(("a",), ()), (("a", "b"), ("a",))], ("a", "b")),
        (KINDS, (), (("a", "b"),), [(("a",), ()), (("a", "b"), ())], ("a", "b")),
        (KINDS, (), (), [(("a",), ()), (("a", "b"), ())], ()),
        (KINDS, ("b",), (("b", "a"),), [(("b", "a"), ("b",))], ("b", "a")),
        (KINDS, ("b", "c"), (("b", "c", "a"),), [], ("b", "c")),
        ({"a": "Conv", "b": "Conv"}, (), (("a",), ("a", "b")), [(("a",), ())], ("a",)),
        ({"c": "Gemm", "d": "MatMul"}, (), ((),), [], ()),
    ],
    ids=[
        "first",
        "all",
        "all, not the first",
        "none",
        "the rest",
        "nothing left",
        "convolutions alone",
        "no convolution",
    ],
)
def test_convolutions_stay_in_float_where_that_is_better(
    kinds: dict[str, str],
    before: tuple[str, ...],
    better: tuple[tuple[str, ...], ...],
    asked_for: list[tuple[tuple[str, ...], tuple[str, ...]]],
    after: tuple[str, ...],
) -> None:
    measured = Measured(METHODS, {})
    asked = []

    def gains(ones: StaticInt8, others: StaticInt8) -> bool:
        asked.append((ones.keep, others.keep))
        return ones.keep in better

    found = with_float_convolutions(measured(StaticInt8(method="entropy", keep=before)), kinds, measured, gains)
    assert found.settings == StaticInt8(method="entropy", keep=after)
    assert asked == asked_for
