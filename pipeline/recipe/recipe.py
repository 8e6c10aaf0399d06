"""A whole recipe, as frozen models. `pipeline.recipe.loading` reads it from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.recipe.candidates import Candidates, Export, Goal, Search
from pipeline.recipe.data import Data
from pipeline.recipe.limits import Budget, Measure, Select, Verify
from pipeline.recipe.model import Model
from pipeline.recipe.names import (
    SLIM,
    ReportedExamples,
    SearchEffort,
    is_search_name,
)
from pipeline.recipe.package import Package, Report, Smoke
from pipeline.recipe.passes import FineTune
from pipeline.recipe.section import LONGEST_NAME, NAME, Section
from pipeline.recipe.task import (
    Classification,
    Outputs,
    Regression,
    TaskSettings,
    losses_of,
    takes_any_data,
    why_no_balanced_sampling,
    why_no_class_weights,
    why_no_confidence,
    why_no_metric,
    why_no_smoothing,
)
from pipeline.recipe.train import Train


class Recipe(Section):
    """A whole recipe. `folder` is where relative paths and the user's modules are looked up."""

    LATER: ClassVar[frozenset[str]] = frozenset({"report"})

    name: str = Field(pattern=NAME, max_length=LONGEST_NAME, description="names the run directory and the archive")
    model: Model
    data: Data
    task: TaskSettings = Classification()
    train: Train = Train()
    candidates: Candidates = Candidates()
    export: Export = Export()
    verify: Verify = Verify()
    measure: Measure = Measure()
    budget: Budget = Budget()
    search: Search = Search()
    select: Select = Select()
    package: Package = Package()
    smoke: Smoke = Smoke()
    report: Report = Report()
    folder: Path = Field(default=Path(), exclude=True, description="set by the loader")

    @model_validator(mode="after")
    def _one_goal(self) -> Recipe:
        goal = self.select.goal if "goal" in self.select.model_fields_set else None
        if goal is not None and self.search.goal not in (None, goal):
            raise ValueError(
                f"search.goal {self.search.goal} and select.goal {goal}: expected the same, for what is searched is "
                "what is selected; give one of them"
            )
        return self

    @model_validator(mode="after")
    def _outputs_of_a_table(self) -> Recipe:
        data = self.data
        if data.table is not None and not data.targets and data.classes is None and not takes_any_data(self.task):
            raise ValueError(
                "data.targets: expected the columns of the table that the network learns to give, found none; for a "
                "table without them, list the names of the network's outputs in data.classes"
            )
        return self

    @model_validator(mode="after")
    def _names_of_a_search(self) -> Recipe:
        names = [variant.name for variant in self.candidates.variants or () if is_search_name(variant.name)]
        if names and self.search_effort != "off":
            raise ValueError(
                f"variant {names[0]!r}: expected another name, because a search names its networks so; rename it, or "
                "set search.effort to off"
            )
        return self

    @model_validator(mode="after")
    def _weights_or_training(self) -> Recipe:
        model, epochs = self.model, self.train.epochs
        members = model.ensemble
        own = model.weights is not None or model.factory is not None or (members is not None and members.weights)
        if epochs == 0 and not own:
            raise ValueError(
                f"train.epochs = 0 without model.weights: expected weights, because {model.name} is made at "
                "random; give model.weights, or train.epochs of 1 or more"
            )
        at_random = next(
            (
                f"model.{key}"
                for key, value in (
                    ("head = replace", model.head == "replace"),
                    ("initialisation", model.initialisation),
                    ("ensemble.seeds", members is not None and members.seeds),
                )
                if value
            ),
            None,
        )
        if epochs == 0 and at_random is not None:
            raise ValueError(
                f"{at_random} with train.epochs = 0: expected training, because what is made at random answers at "
                "random; give train.epochs of 1 or more, or leave it out"
            )
        if epochs and members is not None and members.weights:
            raise ValueError(
                f"model.ensemble.weights with train.epochs = {epochs}: expected 0, because members from files are "
                "taken as they are; set train.epochs to 0, or train each member by itself"
            )
        return self

    @model_validator(mode="after")
    def _frozen_weights(self) -> Recipe:
        frozen = [*self.train.freeze, *self.train.unfreeze_after]
        if frozen and self.model.weights is None and self.model.factory is None:
            raise ValueError(
                f"train.freeze {frozen[0]} without model.weights: expected weights, because {self.model.name} is made "
                "at random and would stay so; give model.weights, or freeze nothing"
            )
        return self

    @model_validator(mode="after")
    def _settings_of_the_task(self) -> Recipe:
        if isinstance(self.task, Regression) and not self.task.tolerance:
            raise ValueError(
                "task.tolerance: expected how far an answer may be from its target and still be right, in the output's "
                "own unit, because a regression is judged by it; found none"
            )
        mixing = self.train.augmentation.mixing
        if mixing and isinstance(self.task, Regression | Outputs):
            raise ValueError(
                f"train.augmentation.{mixing[0]}: expected none in the task {self.task.kind}, because the right values "
                "of two mixed pictures need not be a mixture of theirs; leave it out"
            )
        reason = why_no_confidence(self.task)
        if reason and "max_confident_flips" in self.budget.model_fields_set:
            raise ValueError(f"budget.max_confident_flips: expected none, because {reason}; leave it out")
        reason = why_no_smoothing(self.task)
        if reason and self.train.label_smoothing:
            raise ValueError(f"train.label_smoothing: expected none, because {reason}; leave it out")
        return self

    @model_validator(mode="after")
    def _training_of_the_task(self) -> Recipe:
        train, losses = self.train, losses_of(self.task)
        if train.loss is not None and train.loss_factory is None and train.loss not in losses:
            raise ValueError(
                f"train.loss {train.loss}: expected {', '.join(losses)} in the task {self.task.kind}, or your own as "
                "module:function"
            )
        reason = why_no_class_weights(self.task)
        if reason and train.class_weights is not None:
            raise ValueError(f"train.class_weights: expected none, because {reason}; leave them out")
        reason = why_no_balanced_sampling(self.task)
        if reason and train.sampling == "balanced":
            raise ValueError(f"train.sampling balanced: expected shuffled, because {reason}")
        reason = why_no_metric(self.task)
        if reason and train.monitor == "metric" and train.monitored_by:
            raise ValueError(
                f'train.{train.monitored_by[0]} by the metric: expected train.monitor = "loss", because {reason}'
            )
        return self

    @model_validator(mode="after")
    def _loss_of_outputs(self) -> Recipe:
        if not isinstance(self.task, Outputs):
            return self
        why = "because the task outputs has no loss of its own"
        if self.train.epochs and self.train.loss is None:
            raise ValueError(
                f"train.epochs = {self.train.epochs} without train.loss: expected the loss to train by, {why}; give "
                "train.loss, or train.epochs = 0 and a network with its weights"
            )
        weighted = [
            variant.name
            for variant in self.candidates.variants or ()
            for step in variant.passes
            if isinstance(step, FineTune) and step.label_weight
        ]
        if weighted and (self.train.loss is None or self.task.score is None):
            raise ValueError(
                f"variant {weighted[0]}: label_weight: expected none without train.loss and task.score, {why}; leave "
                "it out: fine-tuning learns float's values"
            )
        return self

    @property
    def fits_statistics(self) -> bool:
        """Whether mean and scale of the data are fitted: the network is trained here, and nothing says otherwise.

        Data of a built-in set or of a factory keep what they are scaled by anyway.
        """
        trained = self.train.epochs > 0 and self.model.weights is None
        return trained and self.model.preprocessing is None and self.data.source in ("folder", "table")

    @property
    def search_effort(self) -> SearchEffort | Literal["off"]:
        """How long and how finely a build searches."""
        if self.search.effort is not None:
            return self.search.effort
        candidates, named = self.candidates, self.select.candidate
        chosen = candidates.variants is not None or (named is not None and not named.startswith(SLIM))
        return "off" if chosen or "onnx" not in candidates.formats else "quick"

    @property
    def search_limit_s(self) -> float:
        """Seconds after which the search ends."""
        return 60 * (self.search.max_minutes or (90 if self.search_effort == "deep" else 5))

    @property
    def goal(self) -> Goal:
        """The figure in which the candidates compete."""
        return self.search.goal or self.select.goal

    @property
    def reported_examples(self) -> ReportedExamples:
        """Which validation examples a report may hold. Whoever keeps them out of the archive keeps them out of it."""
        return self.report.examples or ("disagreeing" if self.package.golden == "validation" else "none")

    @property
    def model_name(self) -> str:
        """The name in the archive and in the URL."""
        return self.package.name or self.name
