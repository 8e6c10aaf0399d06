"""What a person reads of `pipeline verify RUN_DIR`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline._handlers.compare import compare
from pipeline._handlers.tolerance import FLOAT32
from pipeline.candidates.choose import judge
from pipeline.candidates.rank import LayerGain, Ranking
from pipeline.candidates.spec import candidate_specs
from pipeline.candidates.unproven import NOT_PROVEN, Unproven, unproven
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.parity_report import ParityCheck, ParityReport
from pipeline.cli.run_check import run_lines
from pipeline.commands import verify_run
from pipeline.recipe.candidates import Candidates
from tests.builders import LIMITS, quality

HINT = "--rank says which layers cost a candidate over budget its accuracy (up to 2 minutes for each)."
DROP = "drop +2.00 points, bound +2.60 of 1.00 allowed; confident flips 0.20% of 0.10% allowed"


def candidate(name: str, verdict: str, ranking: Ranking | None = None) -> verify_run.CandidateVerification:
    same = np.ones((2, 3), np.float32)
    check = ParityCheck(inputs="real", batch_size=2, call=1, comparison=compare(same, same, FLOAT32))
    parity = ParityReport(candidate=name, reference="its torch module", tolerance=FLOAT32, checks=(check,))
    return verify_run.CandidateVerification(
        candidate=name,
        file=Path("model.onnx"),
        altered=False,
        parity=parity,
        finding=LayerFinding(),
        verdict=judge(quality(), LIMITS, lossy=True, compared=1).model_copy(update={"text": verdict}),
        miss="" if verdict in ("lossless", "within budget") else f"{verdict}: {DROP}",
        ranking=ranking,
    )


def ranked(*gains: LayerGain) -> Ranking:
    return Ranking(candidate="slim", examples=512, drop=0.02, divergence=0.1, gains=gains, left_out=0)


def lines_for(
    *candidates: verify_run.CandidateVerification,
    rank: bool = False,
    rows: tuple[Unproven, ...] = (),
    gaps: tuple[str, ...] = (),
) -> list[str]:
    verification = verify_run.RunVerification(
        run_dir=Path("run"), recipe="a", candidates=candidates, unproven=rows, gaps=gaps
    )
    return run_lines(verification, rank=rank)


def test_the_verdict_is_the_tables_own() -> None:
    lines = lines_for(
        candidate("float", "lossless"),
        candidate("a", "not provable with 539 examples"),
        candidate("b", "too many confident flips"),
    )
    assert [line for line in lines if "same as" not in line] == [
        f"  not provable with 539 examples: {DROP}",
        f"  too many confident flips: {DROP}",
    ]


def test_what_the_build_could_not_prove_is_named_and_no_fault() -> None:
    spec = next(spec for spec in candidate_specs(Candidates()) if spec.name == "float.onnx.int8-static")
    row = unproven(spec, NOT_PROVEN, "it differs at head")
    gap = "validation holds no example of class alarm"
    assert lines_for(candidate("float", "lossless"), rows=(row,), gaps=(gap,))[1:] == [
        "float.onnx.int8-static: no file was kept, not proven: it differs at head",
        f"Of the build's verdicts: {gap}.",
    ]


def test_ranking_is_offered_where_there_is_something_to_rank() -> None:
    assert lines_for(candidate("a", "over budget"))[1:] == [f"  over budget: {DROP}", HINT]
    assert lines_for(candidate("a", "within budget"), rank=True)[1:] == [
        "No candidate is over its budget: there are no layers to rank."
    ]


def test_a_ranking_says_what_is_won_back_or_why_nothing_can_be_ranked() -> None:
    gain = LayerGain(layer="head", kind="static-int8", accuracy=0.005, divergence=0.02)
    lines = lines_for(
        candidate("a", "over budget", ranked(gain)),
        candidate("b", "over budget", ranked()),
        rank=True,
    )
    assert [line for line in lines if "same as" not in line] == [
        f"  over budget: {DROP}",
        "  what leaving one layer out of a pass would win back of +2.00 points on 512 validation examples:",
        "    head out of static-int8: +0.50 points, divergence from float -0.02 of 0.1",
        f"  over budget: {DROP}",
        "  its layers cannot be ranked: all compute in bfloat16, or would have to be fine-tuned again",
    ]
