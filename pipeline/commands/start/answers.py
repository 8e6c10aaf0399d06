"""The answers that a recipe is written from, and how one is had: from an option, from a person, or by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pipeline.errors import PipelineError, UsageError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Given:
    """Answers that were given as options, as they were typed; None where the option was not.

    Args:
        model: the network, as module:function or by name.
        weights: file of its weights, published ones by name, or `none`.
        data: a folder of pictures, a table, or module:function.
        targets: columns that are to be predicted, joined by commas.
        labels: CSV file of labels in the folder of pictures.
        classes: names of the outputs where the data say none: joined by commas, or a text file with one on each line.
        size: height and width of a network's input in pixels, such as 64x64.
        mode: `RGB` or `L`, colour or grey.
        preprocessing: how the network sees pixels.
        task: what the network is for.
        tolerance: distance within which an answer of a regression is right.
        epochs: number of epochs of training.
        budget: what may be lost, in points.
        name: name of the recipe.
    """

    model: str | None = None
    weights: str | None = None
    data: str | None = None
    targets: str | None = None
    labels: str | None = None
    classes: str | None = None
    size: str | None = None
    mode: str | None = None
    preprocessing: str | None = None
    task: str | None = None
    tolerance: str | None = None
    epochs: str | None = None
    budget: str | None = None
    name: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was given."""
        return all(value is None for value in vars(self).values())


class InputEndedError(UsageError):
    """Somebody who was asked has gone."""


class Person(Protocol):
    """Somebody who can be asked."""

    def ask(self, question: str, default: str | None) -> str:
        """Return what is typed; the default where nothing is.

        Raises:
            InputEndedError: nobody types any more.
        """

    def tell(self, line: str) -> None:
        """Show a line."""


@dataclass(kw_only=True)
class Answers:
    """Where answers come from.

    Args:
        given: those that were given as options.
        person: who is asked for the others; None where nobody is there.
        earlier: what was answered before, by option, where questions are asked again.
    """

    given: Given
    person: Person | None
    earlier: dict[str, str] = field(default_factory=dict)

    def tell(self, line: str) -> None:
        """Show a line to a person."""
        if self.person is not None:
            self.person.tell(line)

    def get(self, key: str, question: str, default: str | None, check: Callable[[str], T]) -> T:
        """Return an answer that holds; a person is asked again until it does.

        Args:
            key: field of `Given`, whose name the option has too.
            question: question for a person.
            default: answer where nobody gives one; None where somebody must.
            check: function from the text to its meaning. It raises where the text is wrong.

        Raises:
            UsageError: an option is missing or wrong.
        """
        text = getattr(self.given, key)
        option = OPTIONS.get(key, f"--{key}")
        if text is not None or self.person is None:
            text = default if text is None else text
            if text is None:
                raise UsageError(f"{option}: expected {question[:1].lower()}{question[1:]}; found nothing, give it")
            try:
                return check(text)
            except PipelineError as error:
                raise UsageError(f"{option} {text}: {error}") from error
        while True:
            text = self.person.ask(question, self.earlier.get(key, default))
            try:
                value = check(text)
            except PipelineError as error:
                self.person.tell(f"  {error}")
                continue
            self.earlier[key] = text
            return value

    def again(self) -> None:
        """Ask everything again, with the earlier answers as defaults."""
        given = {key: value for key, value in vars(self.given).items() if value is not None}
        self.earlier = {**given, **self.earlier}
        self.given = Given(name=self.given.name)


OPTIONS = {"targets": "--target"}
