"""Refuses settings of training that need labels where the data have none."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import UsageError
from pipeline.recipe.passes import FineTune, Variant


def require_no_labels(data: str, *, loss: str | None, variants: Sequence[Variant], epochs: int = 0) -> None:
    """Check that nothing is asked for that learns from labels. Fine-tuning needs none: it learns float's answers.

    Args:
        data: name of the data set, which has no labels.
        loss: the user's own loss; None for the task's.
        variants: variants of the recipe.
        epochs: epochs of training the float network.

    Raises:
        UsageError: something needs labels; every such setting is named.
    """
    why = f"because data set {data} has no labels"
    problems = []
    if epochs:
        problems.append(
            f"train.epochs = {epochs}: expected 0, {why} to train on; give labels, or model.weights and "
            "train.epochs = 0"
        )
    if loss is not None:
        problems.append(f"train.loss {loss}: expected none, {why} to give it; leave it out")
    problems += [
        f"variant {variant.name}: label_weight = {step.label_weight:g}: expected 0, {why}; leave it out: fine-tuning "
        "learns the float network's answers"
        for variant in variants
        for step in variant.passes
        if isinstance(step, FineTune) and step.label_weight
    ]
    if problems:
        raise UsageError("; ".join(dict.fromkeys(problems)))
