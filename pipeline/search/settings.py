"""The settings that a search depends on, besides the candidates that exist."""

from __future__ import annotations

from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.recipe.names import SearchEffort
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section


class SearchSettings(Section):
    """The settings of a recipe's search that a stage sees.

    Args:
        effort: how much is tried.
        limit_s: longest time for the whole search, in seconds.
        goal: what the candidates compete in.
        budget: what a network may lose.
        shift: largest number of pixels by which training pictures are moved; as in training if None.
        round_to: number whose multiples channel counts become; the machine's own preference if None.
        seed: seed of fine-tuning.
    """

    effort: SearchEffort
    limit_s: float
    goal: Goal
    budget: Budget
    shift: int | None
    round_to: int | None
    seed: int


def search_settings(recipe: Recipe) -> SearchSettings | None:
    """Return the search settings of a recipe; None where nothing is searched."""
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
