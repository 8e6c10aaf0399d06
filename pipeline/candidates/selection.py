"""What the select stage decides: the winner, why it won, and a verdict per candidate."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.candidates.choose import Verdict
from pipeline.data.dataset import SplitName
from pipeline.engine.documents import Document
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.quality import QualityReport


class Selection(Document):
    """The document `selection.json`.

    Args:
        selected: name of the winner.
        why: why it won.
        verdicts: verdicts by candidate, in the order of the table.
        goal: what the candidates competed in.
        limits: what a lossy candidate may lose.
        test: quality report on the winner, against float, on the test set, which is opened for this report alone.
        test_verdict: whether the winner is inside its limits there too. It alone is compared, so its bound is not
            adjusted for others.
        decided: number of examples of validation and test by the class that the float network decides for, where the
            data have no labels; else empty.
    """

    title: ClassVar[str] = "the selection of this build"

    selected: str
    why: str
    verdicts: dict[str, Verdict]
    goal: Goal
    limits: Budget
    test: QualityReport
    test_verdict: Verdict
    decided: dict[SplitName, tuple[int, ...]] = Field(default={})
