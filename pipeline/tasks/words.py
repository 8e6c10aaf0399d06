"""Words in which reports tell of a task's decisions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DecisionWords:
    """What the columns of the table of decisions mean in a task.

    Args:
        group: what a group of examples is called that is judged by itself, such as class.
        divergence: short name of the divergence from float, such as KL.
        lost: what an example counts as that float gets more of, in a clause.
        longest_group: largest number of characters of a group's name in a table.
        legend: the clauses behind it; `{limit}` stands for the limit of confident flips, and a line end for itself.
    """

    group: str
    divergence: str
    lost: str
    longest_group: int = 12
    legend: str
