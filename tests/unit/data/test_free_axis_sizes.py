from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline._handlers.decode import InputSpec
from pipeline.data.free_axis_sizes import has_distinct_sizes, resized, single_steps, size_plan, with_shared_names

PICTURE = InputSpec(name="picture", dtype="uint8", shape=(1, 28, 28), low=0, high=255, dynamic_axes=(1, 2))
TOKENS = InputSpec(name="tokens", dtype="int64", shape=(12,), low=0, high=9, dynamic_axes=(0,))
MASK = replace(TOKENS, name="mask")


def sizes(spec: InputSpec, size: int) -> list[int]:
    return [inputs["tokens"] for inputs in size_plan([spec], {"tokens": (size,)})]


def test_the_smallest_some_between_and_larger_than_the_datas() -> None:
    assert sizes(TOKENS, 12) == [1, 6, 24, 25]
    assert sizes(TOKENS, 1) == [2, 3]
    assert sizes(replace(TOKENS, dynamic_sizes=((4, 30),)), 12) == [4, 8, 20, 30]
    assert sizes(replace(TOKENS, dynamic_sizes=((4, 12),)), 12) == [4, 8]
    assert sizes(replace(TOKENS, shape=(64,), dynamic_sizes=((32, 160),)), 64) == [32, 96, 160], "multiples of 32 alone"
    assert size_plan([replace(TOKENS, dynamic_axes=())], {"tokens": (12,)}) == []


def test_two_free_axes_never_have_one_size_and_inputs_may_share_an_axis() -> None:
    shapes = {"picture": (1, 28, 28), "tokens": (12,), "mask": (12,)}
    inputs = with_shared_names([PICTURE, TOKENS, MASK], [shapes, shapes])
    assert [spec.dynamic_names for spec in inputs] == [(), ("tokens",), ("tokens",)]
    plan = size_plan(inputs, shapes)
    assert len(plan) >= 4
    for chosen in plan:
        assert set(chosen) == {"picture axis 1", "picture axis 2", "tokens"}
        assert len(set(chosen.values())) == 3
    for name in plan[0]:
        assert len({chosen[name] for chosen in plan}) == 4, "each axis takes each of its sizes"
    assert single_steps(inputs, shapes, "tokens")[0] == {"picture axis 1": 28, "picture axis 2": 28, "tokens": 1}


def test_data_of_two_sizes_and_names_of_their_own_keep_axes_apart() -> None:
    differing = [{"tokens": (12,), "mask": (12,)}, {"tokens": (12,), "mask": (7,)}]
    assert with_shared_names([TOKENS, MASK], differing) == (TOKENS, MASK)
    own = replace(MASK, dynamic_names=("mask",))
    assert with_shared_names([TOKENS, own], differing[:1]) == (TOKENS, own)
    square = replace(TOKENS, shape=(12, 12), dynamic_axes=(0, 1))
    named = with_shared_names([square, MASK], [{"tokens": (12, 12), "mask": (12,)}])
    assert [spec.dynamic_names for spec in named] == [("tokens axis 0", "tokens axis 1"), ("tokens axis 0",)]


def test_examples_are_cut_or_repeated_along_free_axes_alone() -> None:
    values = np.arange(3 * 4, dtype=np.int64).reshape(3, 4)
    spec = replace(TOKENS, shape=(4,))
    assert resized({"tokens": values}, [spec], {"tokens": 2})["tokens"].tolist() == [[0, 1], [4, 5], [8, 9]]
    assert resized({"tokens": values}, [spec], {"tokens": 6})["tokens"][0].tolist() == [0, 1, 2, 3, 0, 1]
    assert resized({"tokens": values}, [spec], {})["tokens"].tolist() == values.tolist()


def test_what_is_traced_has_sizes_that_are_mistaken_for_nothing_else() -> None:
    def distinct(*shape: int) -> bool:
        return has_distinct_sizes({"picture": np.zeros((2, *shape), np.uint8)}, [PICTURE], rows=2)

    assert distinct(3, 14, 28)
    assert not any(distinct(*shape) for shape in ((1, 28, 28), (3, 2, 28), (3, 14, 1), (3, 3, 28)))
