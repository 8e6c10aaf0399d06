"""Find the classes of which a split holds no examples, or too few to judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# With at most so many examples, even a class without any changed answer may have lost a quarter of its right answers:
# the one-sided 95 % bound of its own drop (z squared over n + z squared, as in `pipeline.tasks.intervals`) is higher.
SCARCE = 8
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The classes of which a split holds too few examples.

    Args:
        absent: names of the classes without any example.
        scarce: number of examples, by name, of the classes with 1 to `SCARCE` examples.
        group: what a class is called, in the singular.
    """

    absent: tuple[str, ...]
    scarce: Mapping[str, int]
    group: Literal["class", "label"] = "class"

    def lines(self, split: str, *, by_float: bool = False) -> tuple[str, ...]:
        """The consequences, one clause each; empty where there are none.

        Args:
            split: name of the split; for `train`, only absent classes count.
            by_float: whether the float network's decisions say which class an example has, because there are no labels.
        """
        clauses = []
        holds = f"{split}, as float decides it, holds" if by_float else f"{split} holds"
        if self.absent:
            clauses.append(f"{holds} no example of {_named(self.group, self.absent)}: {_cost(split, len(self.absent))}")
        if self.scarce and split != "train":
            few = [f"{name} ({count})" for name, count in self.scarce.items()]
            clauses.append(
                f"{holds} {SCARCE} examples or fewer of {_named(self.group, few)}: with so few, a quarter of such a "
                f"{self.group} may be lost unseen"
            )
        return tuple(clauses)


def coverage(counts: Sequence[int], classes: Sequence[str], *, group: Literal["class", "label"] = "class") -> Coverage:
    """Find the classes of which a split holds too few examples.

    Args:
        counts: number of examples by class.
        classes: names of the classes, by index.
        group: what a class is called, in the singular.
    """
    named = list(zip(classes, counts, strict=True))
    return Coverage(
        absent=tuple(name for name, count in named if not count),
        scarce={name: count for name, count in named if 0 < count <= SCARCE},
        group=group,
    )


def _cost(split: str, absent: int) -> str:
    them = "it" if absent == 1 else "them"
    if split == "train":
        return f"nothing is trained, fine-tuned or calibrated on {them}"
    return f"no figure there speaks of {them}, and all of {them} may be lost unseen"


def _named(group: Literal["class", "label"], names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    plural = "classes" if group == "class" else "labels"
    noun = group if len(names) == 1 else f"{len(names)} {plural}:"
    return f"{noun} {shown}" + (f" and {more} more" if more > 0 else "")
