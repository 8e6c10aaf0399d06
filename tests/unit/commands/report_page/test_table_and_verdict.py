"""The table says how many candidates there were, and the verdict how one of them was chosen."""

from __future__ import annotations

import pytest

from pipeline.candidates.unproven import CandidateList
from pipeline.checks.parity_report import SAME_FILE
from pipeline.commands.build_result import BuildResult
from pipeline.commands.report_page.how_chosen import how_chosen
from pipeline.commands.report_page.proofs import proofs_of, shown_by
from pipeline.commands.report_page.rows import candidates_of
from pipeline.recipe.candidates import Goal
from tests.build_results import result_of
from tests.builders import candidate, not_proven, quality

FLOAT = candidate(ms=1.0, batch_ms=30, size=6000)
SLIM = candidate("slim20", ms=0.1, batch_ms=9, size=900, judged=quality(lost=60, gained=20))
THIN = candidate("slim10", ms=0.2, batch_ms=5, size=400, judged=quality(lost=60, gained=20))
OVER = candidate("slim4", ms=0.05, batch_ms=3, size=200, judged=quality(lost=300))
REFUSED = not_proven("slim4.onnx.int8-static", "checks failed")


def listed(result: BuildResult, *, compared: int) -> CandidateList:
    return CandidateList(
        order=tuple(row.report.name for row in result.candidates),
        compared=compared,
        unproven=result.unproven,
        searched=("slim20", "slim10", "slim4"),
    )


def notes(result: BuildResult, *, named: str | None = None) -> list[str]:
    return list(how_chosen(result, listed=listed(result, compared=3), named=named, processor="a chip"))


def test_the_table_says_how_many_were_tried_and_how_many_could_have_been() -> None:
    result = result_of(FLOAT, SLIM, THIN, OVER, unproven=(REFUSED,))
    table = candidates_of(result, listed(result, compared=6))
    counts, names = table.notes
    assert counts.startswith("5 candidates tried: 4 proven, measured and drawn above; 1 not (slim4.onnx.int8-static).")
    assert "6 lossy candidates could have been chosen, 2 of which the search planned and did not make" in counts
    assert "slimNN: made by the search" in names
    assert table.terms["float"] == "the network as it was trained"


@pytest.mark.parametrize(("goal", "column"), [("latency", "ms at 1"), ("throughput", "ms at 32"), ("size", "kB")])
def test_the_table_is_sorted_by_the_goal(goal: Goal, column: str) -> None:
    result = result_of(FLOAT, SLIM, THIN, goal=goal)
    table = candidates_of(result, listed(result, compared=2))
    assert table.sorted_by is not None
    assert table.columns[table.sorted_by].name == column
    expected = [SLIM, THIN, FLOAT] if goal == "latency" else [THIN, SLIM, FLOAT]
    assert [row.name for row in table.rows] == [report.name for report in expected]


def test_a_candidate_that_is_not_proven_has_a_sentence_and_its_reason_behind_it() -> None:
    result = result_of(FLOAT, unproven=(REFUSED,))
    *_, row = candidates_of(result, listed(result, compared=0)).rows
    assert row.cells[1].text.startswith("It was not proven to be the same model as its source")
    assert "checks failed" in row.cells[1].details


@pytest.mark.parametrize(
    ("goal", "rule"),
    [
        ("latency", "the fastest one at one example a call wins"),
        ("throughput", "the fastest one at 32 examples a call wins"),
        ("size", "the one with the smallest file wins"),
    ],
)
def test_the_runner_up_and_the_rule_are_told(goal: Goal, rule: str) -> None:
    result = result_of(FLOAT, SLIM, THIN, OVER, goal=goal)
    runner_up, how, splits, clocks = notes(result)
    second = {"latency": THIN, "throughput": SLIM, "size": SLIM}[goal].name
    assert runner_up == f"The runner-up is {second}: {result.reasons()[second]}."
    assert rule in how
    assert splits.startswith("It was chosen on validation: it lost ")
    assert "looked at once and for it alone, confirm that" in splits
    assert "with 1 thread on a chip" in clocks


def test_where_nothing_else_is_inside_or_the_recipe_names_one_it_says_so() -> None:
    alone, *_ = notes(result_of(FLOAT, OVER))
    assert alone == "No other candidate is inside its limits."
    first, confirmed, _ = notes(result_of(FLOAT, SLIM, named=SLIM.name), named=SLIM.name)
    assert "the recipe names the candidate" in first
    assert confirmed.startswith("It was held against its limits on validation: ")
    only, *_ = notes(result_of(FLOAT))
    assert only == "There was no other candidate."


def test_what_a_search_planned_is_told_also_where_it_made_nothing() -> None:
    result = result_of(FLOAT, SLIM)
    nothing = CandidateList(order=(FLOAT.name, SLIM.name), compared=7, unproven=(), searched=())
    assert (
        "7 lossy candidates could have been chosen, 6 of which the search planned"
        in (candidates_of(result, nothing).notes[0])
    )
    one = CandidateList(order=(FLOAT.name, SLIM.name), compared=1, unproven=(), searched=None)
    assert candidates_of(result, one).notes[0].endswith("1 lossy candidate could have been chosen.")


def test_names_of_what_was_not_proven_are_explained_too() -> None:
    terms = candidates_of(result_of(FLOAT, unproven=(REFUSED,)), listed(result_of(FLOAT), compared=1)).terms
    assert terms["int8-static"].startswith("8-bit weights and activations")
    assert "slim4" not in terms  # nobody knows how it was made


@pytest.mark.parametrize(
    ("reference", "words"),
    [(SAME_FILE, "optimizations do not change its answers beyond that limit"), ("its torch module", "on the way")],
)
def test_parity_is_a_proof_of_what_the_file_was_held_against(reference: str, words: str) -> None:
    assert words in shown_by(lossy=True, reference=reference)
    assert shown_by(lossy=False, reference=reference).startswith("So the file answers as the float network does")


def test_what_was_not_proven_is_told_and_what_parity_is_a_proof_of() -> None:
    result = result_of(FLOAT, SLIM, unproven=(REFUSED,))
    told = " ".join(proofs_of(result, smoke=None).sentences)
    assert "How far it answers otherwise than the float network is another question" in told
    assert "Proofs that say nothing: none." in told
    assert told.endswith("Candidates that are not proven, and cannot be chosen: slim4.onnx.int8-static.")
