"""How an answer is had: from an option, from a person who is asked again, or by default."""

from __future__ import annotations

import pytest

from pipeline.commands.start.answers import Answers, Given
from pipeline.errors import UsageError


class Typist:
    """Types prepared answers; an empty one is Enter."""

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.seen: list[str] = []

    def ask(self, question: str, default: str | None) -> str:
        self.seen.append(f"{question} [{default}]")
        return self.typed.pop(0) or default or ""

    def tell(self, line: str) -> None:
        self.seen.append(line)


def whole(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"expected a whole number, found {text!r}")
    return int(text)


def test_an_option_is_not_asked_for() -> None:
    person = Typist()
    assert Answers(given=Given(epochs="3"), person=person).get("epochs", "Epochs", "10", whole) == 3
    assert person.seen == []


def test_a_wrong_answer_is_asked_again_and_the_right_one_is_the_default_next_time() -> None:
    person = Typist("many", "", "5", "")
    answers = Answers(given=Given(), person=person)
    assert answers.get("epochs", "Epochs", "10", whole) == 10
    assert person.seen == ["Epochs [10]", "  expected a whole number, found 'many'", "Epochs [10]"]
    assert answers.get("epochs", "Epochs", "10", whole) == 5
    answers.again()
    assert answers.get("epochs", "Epochs", "10", whole) == 5


def test_options_are_asked_again_with_what_they_said_as_default() -> None:
    answers = Answers(given=Given(epochs="3", name="pets"), person=Typist(""))
    answers.again()
    assert answers.given == Given(name="pets")
    assert answers.get("epochs", "Epochs", "10", whole) == 3


def test_without_a_person_a_default_is_taken_and_a_wrong_or_missing_option_is_one_line() -> None:
    answers = Answers(given=Given(epochs="many"), person=None)
    with pytest.raises(UsageError, match=r"^--epochs many: expected a whole number, found 'many'$"):
        answers.get("epochs", "Epochs", "10", whole)
    answers = Answers(given=Given(), person=None)
    assert answers.get("epochs", "Epochs", "10", whole) == 10
    with pytest.raises(UsageError, match=r"^--target: expected columns; found nothing, give it$"):
        answers.get("targets", "Columns", None, str)
