"""The closed tables of precisions, formats and runtimes hold an entry for each member, and agree with each other."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline.formats import FORMATS, FormatName
from pipeline.precision import PRECISIONS, ConvertingPass, Precision, precision_of
from pipeline.recipe.passes import converting_pass


def test_every_member_has_an_entry() -> None:
    assert tuple(PRECISIONS) == get_args(Precision)
    assert tuple(FORMATS) == get_args(FormatName)
    assert tuple(RUNTIMES) == get_args(RuntimeKind)


def test_every_converting_pass_makes_one_precision() -> None:
    makers = [facts.made_by for facts in PRECISIONS.values() if facts.made_by is not None]
    assert sorted(makers) == sorted(get_args(ConvertingPass))
    for precision, facts in PRECISIONS.items():
        last = converting_pass(precision)
        assert (None if last is None else last.kind) == facts.made_by
        assert precision_of([] if last is None else ["magnitude-pruning", last.kind]) == precision


@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_precision_can_be_had_in_some_format(precision: Precision) -> None:
    assert PRECISIONS[precision].formats
    assert set(PRECISIONS[precision].formats) <= set(FORMATS)


def test_float_is_searched_and_no_precision_unasked_by_mistake() -> None:
    assert [name for name, facts in PRECISIONS.items() if facts.always_searched] == [
        "fp32",
        "int8-dynamic",
        "int8-static",
    ]


def test_a_files_ending_says_which_runtime_loads_it() -> None:
    assert {facts.file_name: facts.runtime for facts in FORMATS.values()} == {
        f"model{facts.ending}": kind for kind, facts in RUNTIMES.items()
    }
