"""What the report shows, as data: words and figures, and nothing of how they look. The page holds it as JSON."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.engine.documents import Document
from pipeline.pages.report.table import Table
from pipeline.pages.report.trade_off import TradeOff

# Sections of the page, by the name of their element.
SectionName = Literal[
    "trade-off",
    "candidates",
    "proofs",
    "disagreements",
    "calibration",
    "confusion",
    "training",
    "graph",
    "elsewhere",
    "digests",
]


class KeyFigure(Document):
    """One large figure under the verdict.

    Args:
        name: what it is.
        value: the figure with its unit.
        detail: its interval, or what it is held against.
    """

    name: str
    value: str
    detail: str = ""


class Verdict(Document):
    """What a person who reads nothing else should know.

    Args:
        sentences: which file was chosen and what it gains; what it may have lost, and how sure that is.
        warnings: what speaks against it, a sentence each.
        figures: the same as figures.
        notes: how it was chosen and measured, a sentence or two each.
    """

    sentences: tuple[str, str]
    warnings: tuple[str, ...] = ()
    figures: tuple[KeyFigure, ...] = ()
    notes: tuple[str, ...] = ()


class Proofs(Document):
    """What was proven, and against what.

    Args:
        sentences: what holds of the winner, a sentence each.
        empty: proofs that say nothing, and why, a sentence each.
        table: a row per candidate.
    """

    sentences: tuple[str, ...]
    empty: tuple[str, ...] = ()
    table: Table | None = None


class Example(Document):
    """An example of validation on which float and the winner disagree.

    Args:
        number: its row in the split, counted from 0.
        group: class that it is judged with; empty where there are none.
        picture: its picture as a data URI; empty where it is none.
        values: its values by column, where it is a row of a table, or the first ones of it.
        right: what is right; empty without labels.
        of_float: answer of float.
        of_winner: answer of the winner.
        better: which of the two is right; empty where neither or both are, or nothing says so.
    """

    number: int
    group: str = ""
    picture: str = ""
    values: dict[str, str] = Field(default={})
    right: str = ""
    of_float: str
    of_winner: str
    better: Literal["", "float", "winner"] = ""


class Disagreements(Document):
    """Where float and the winner disagree.

    Args:
        sentences: how often they do, and what is shown.
        groups: what stands over the examples of each class, by its name, the worst class first.
        examples: some of them, in the order of the groups.
        truth: what the right answer to an example is called, such as true class.
    """

    sentences: tuple[str, ...]
    truth: str = "true answer"
    groups: dict[str, str] = Field(default={})
    examples: tuple[Example, ...] = ()


class Bin(Document):
    """Answers of about the same certainty.

    Args:
        examples: number of answers.
        certainty: their mean certainty, as a fraction.
        right: share of them that is right.
    """

    examples: int
    certainty: float
    right: float


class Calibration(Document):
    """How certain answers are, and how often right.

    Args:
        sentences: the calibration error of the winner and of float.
        bins: bins that hold answers, by network, the least certain first.
    """

    sentences: tuple[str, ...]
    bins: dict[str, tuple[Bin, ...]] = Field(default={})


class Confusion(Document):
    """How often each right class got each answer.

    Args:
        sentences: what is shown.
        names: names of the classes.
        matrices: number of examples by right class (rows) and answer (columns), by network.
        table: metrics by class, label or output.
    """

    sentences: tuple[str, ...]
    names: tuple[str, ...] = ()
    matrices: dict[str, tuple[tuple[int, ...], ...]] = Field(default={})
    table: Table | None = None


class Curve(Document):
    """The course of a figure over the epochs; None where it was not computed."""

    name: str
    values: tuple[float | None, ...]


class Panel(Document):
    """Curves that share an axis."""

    label: str
    curves: tuple[Curve, ...]


class Training(Document):
    """The course of the training.

    Args:
        sentences: what was trained, and which epoch was kept.
        epochs: numbers of the epochs.
        kept: epoch whose weights were kept because validation chose it; None where nothing chose.
        panels: curves.
    """

    sentences: tuple[str, ...]
    epochs: tuple[int, ...] = ()
    kept: int | None = None
    panels: tuple[Panel, ...] = ()


class Snippet(Document):
    """Code to copy.

    Args:
        name: what it is for.
        text: what it needs, or is tried with.
        code: the code.
    """

    name: str
    text: str = ""
    code: str


class Digest(Document):
    """The SHA-256 digest of something, or the version of it."""

    name: str
    value: str


class ReportDocument(Document):
    """The whole report.

    Args:
        name: name of the recipe, or of the model.
        source: what the report was made from, in a sentence.
        verdict: what a person who reads nothing else should know.
        absent: why a section holds nothing, by its name.
    """

    title: ClassVar[str] = "the report of a build"

    name: str
    source: str
    verdict: Verdict
    trade_off: TradeOff | None = None
    candidates: Table | None = None
    proofs: Proofs | None = None
    disagreements: Disagreements | None = None
    calibration: Calibration | None = None
    confusion: Confusion | None = None
    training: Training | None = None
    elsewhere: tuple[Snippet, ...] = ()
    digests: tuple[Digest, ...] = ()
    absent: dict[SectionName, str] = Field(default={})
