"""What a search depends on besides the candidates that are there."""

from __future__ import annotations

from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.recipe.names import SearchEffort
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section


class SearchSettings(Section):
    """What a stage sees of a recipe's search.

    Args:
        effort: how much is tried.
        limit_s: longest time of the whole search, in seconds.
        goal: what the candidates compete in.
        budget: what a network may lose.
        shift: pixels that training pictures are moved by; as in training if None.
        round_to: what channel counts become multiples of; the machine's own preference if None.
        seed: of fine-tuning.
    """

    effort: SearchEffort
    limit_s: float
    goal: Goal
    budget: Budget
    shift: int | None
    round_to: int | None
    seed: int


def search_settings(recipe: Recipe) -> SearchSettings | None:
    """Those of a recipe; None where nothing is searched."""
    effort = recipe.search_effort
    if effort == "off":
        return None
    return SearchSettings(
        effort=effort,
        limit_s=recipe.search_limit_s,
        goal=recipe.goal,
        budget=recipe.budget,
        shift=recipe.search.shift,
        round_to=recipe.search.round_to,
        seed=recipe.train.seed,
    )
