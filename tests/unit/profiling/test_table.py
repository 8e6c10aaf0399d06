"""The table shows what a step costs, in the order that is asked for."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.profiling.document import TableOrder
from pipeline.profiling.table import operator_table
from tests.profiles import cost, recording

CONV = cost("aten::conv2d", 6000, total_us=9000, calls=4, memory_bytes=1_000_000)
ADD = cost("aten::add", 3000, total_us=3000, calls=20, memory_bytes=-4)
VIEW = cost("aten::view", 1000, total_us=1000, calls=6, memory_bytes=9_000_000)
STEPS = recording(
    operators=(ADD, CONV, VIEW),
    operators_by_shape=(
        CONV.model_copy(update={"shapes": "(8, 1, 28, 28) (64, 1, 3, 3)", "self_us": 4000.0}),
        CONV.model_copy(update={"shapes": "(8, 64, 14, 14) (64, 64, 3, 3)", "self_us": 2000.0}),
    ),
)


def test_figures_are_those_of_one_step() -> None:
    lines = operator_table(STEPS)
    assert lines[0].split() == ["operator", "self", "ms", "share", "total", "ms", "calls", "memory", "MB"]
    assert lines[1].split() == ["aten::conv2d", "3.000", "60.0%", "4.500", "2", "0.50"]
    assert lines[2].split() == ["aten::add", "1.500", "30.0%", "1.500", "10", "0.00"]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("self", "conv2d add view"),
        ("total", "conv2d add view"),
        ("calls", "add view conv2d"),
        ("memory", "view conv2d add"),
    ],
)
def test_rows_are_sorted(order: TableOrder, names: str) -> None:
    shown = [line.split()[0].removeprefix("aten::") for line in operator_table(STEPS, order=order)[1:]]
    assert shown == names.split()


def test_what_is_left_out_is_said() -> None:
    lines = operator_table(STEPS, rows=1)
    assert lines[2:] == ["2 more rows, 2.000 ms together; --rows shows more"]


def test_other_shapes_are_rows_of_their_own() -> None:
    lines = operator_table(STEPS, by_shape=True)
    assert [line.partition("(")[2] for line in lines[1:]] == [
        "8, 1, 28, 28) (64, 1, 3, 3)",
        "8, 64, 14, 14) (64, 64, 3, 3)",
    ]
    assert lines[1].split()[:3] == ["aten::conv2d", "2.000", "66.7%"]


def test_some_operators_keep_their_share_of_all() -> None:
    assert operator_table(STEPS, operators=["aten::add"])[1].split()[:3] == ["aten::add", "1.500", "30.0%"]
    with pytest.raises(UsageError, match=r"--operator aten::ad: expected an operator that .* did you mean aten::add\?"):
        operator_table(STEPS, operators=["aten::ad"])


def test_time_on_a_device_counts_where_there_is_any() -> None:
    on_device = recording(
        operators=(
            cost("aten::conv2d", 10, device_self_us=6000.0, device_total_us=6000.0),
            cost("cudaLaunchKernel", 4000),
        )
    )
    lines = operator_table(on_device)
    assert lines[1].split() == ["aten::conv2d", "3.000", "100.0%", "3.000", "1", "0.00", "0.005"]
    assert lines[2].split() == ["cudaLaunchKernel", "0.000", "0.0%", "0.000", "1", "0.00", "2.000"]
