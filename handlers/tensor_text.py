"""The JSON of a large inference request: its lists of values are cut out before anything is parsed.

`json.loads` makes objects of the whole text before anybody can check them (`handlers.instance_parser` has the figures).
Here, what is left of the text without the lists under `data` must be small, and is parsed as a whole. A list is turned
into numbers in parts, or example by example, and not before its tensor's shape has said how many there may be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .decode import InputSpec
from .domain import check_values
from .instance_parser import LONGEST_NUMBER, LONGEST_SPACE, MOST_LISTS, Instances
from .json_text import SMALL_JSON_BYTES, refused_unless_json
from .nested_lists import number_array
from .request import MAX_INSTANCES

# A quote behind a backslash is part of a text, not the beginning of a key.
_DATA = re.compile(r'(?<!\\)"data"[ \t\n\r]*:[ \t\n\r]*(?=\[)')
_BRACKET = re.compile(r"[\[\]]")
_NESTED = re.compile(r"\[[ \t\n\r]*\[")
# So many characters of a flat list are parsed at once.
_PART = 2 * LONGEST_SPACE


class ListText:
    """The text of a list of values, which is not parsed yet.

    Args:
        text: text of the whole body.
        start: place of the list's first bracket.
        end: place behind its last bracket.
        decoder: decoder for JSON values.
        example: a body that the model takes, for messages.
    """

    def __init__(self, text: str, start: int, end: int, decoder: json.JSONDecoder, example: str) -> None:
        self._text = text
        self._start = start
        self._end = end
        self._decoder = decoder
        self._example = example

    @property
    def nested(self) -> bool:
        """Tell whether the first element is a list too."""
        return _NESTED.match(self._text, self._start) is not None

    def numbers(self, count: int, spec: InputSpec) -> NDArray[Any]:
        """Read a flat list of numbers, as `number_array` does.

        Args:
            count: number of values that there must be.
            spec: the input.

        Raises:
            BadRequest: the number of values is another one, or a value is not a number of the input's kind.
        """
        commas = self._text.count(",", self._start, self._end)
        if commas + 1 != count:
            raise wrong_number(spec, count, f"{commas + 1} values between commas")
        if self._end - self._start > LONGEST_NUMBER * count + LONGEST_SPACE:
            raise wrong_number(spec, count, "numbers with too many digits, or too much space around them")
        where = f"input {spec.name}"
        parts = []
        for text in self._parts(where):
            with refused_unless_json(self._example):
                values = self._decoder.decode(f"[{text}]")
            part = number_array(values, where, spec)
            if part.dtype == np.uint64:  # it holds a number that no input has, and its dtype would change the others
                check_values(part, spec)
            parts.append(part)
        numbers: NDArray[Any] = np.concatenate(parts)
        if len(numbers) != count:
            raise wrong_number(spec, count, str(len(numbers)))
        return numbers

    def examples(self, spec: InputSpec) -> Iterator[Any]:
        """Parse the examples of a nested list, one after the other; none is larger than the input allows.

        Args:
            spec: the input, without columns or decoding.

        Raises:
            BadRequest: the text is not JSON, or an example is larger.
        """
        text = f'{{"data":{self._text[self._start : self._end]}}}'
        with refused_unless_json(self._example):
            yield from Instances(text, "data", [spec], self._decoder, self._example)

    def texts(self, spec: InputSpec) -> Any:
        """Parse a list of texts.

        Raises:
            BadRequest: the text is not JSON, or there are more texts than examples in a request.
        """
        if self._text.count('"', self._start, self._end) > 2 * MAX_INSTANCES:
            raise wrong_number(spec, MAX_INSTANCES, "more")
        with refused_unless_json(self._example):
            return self._decoder.decode(self._text[self._start : self._end])

    def _parts(self, where: str) -> Iterator[str]:
        """Cut the list at commas into parts that are parsed quickly."""
        place, last = self._start + 1, self._end - 1
        while last - place > _PART:
            comma = self._text.rfind(",", place, place + _PART)
            if comma < 0:
                raise BadRequest(
                    f"{where}: number too long, or too much space around it",
                    expected=f"at most {_PART} characters",
                    found=self._text[place : place + 40],
                )
            yield self._text[place:comma]
            place = comma + 1
        yield self._text[place:last]


def wrong_number(spec: InputSpec, expected: int, found: str) -> BadRequest:
    """Return the refusal of a list that has not a value for each place in its tensor."""
    return BadRequest(
        f"input {spec.name}: wrong number of values", expected=f"{expected}, as its shape says", found=found
    )


def parse_request(text: str, inputs: Sequence[InputSpec], decoder: json.JSONDecoder, example: str) -> Any:
    """Parse the JSON of a request; in a large one, the lists under `data` in its inputs become `ListText`.

    Args:
        text: text of the JSON.
        inputs: the model's inputs.
        decoder: decoder for JSON values.
        example: a body that the model takes, for messages.

    Raises:
        BadRequest: the text is not JSON, or is large for other reasons than its values.
    """
    if len(text) <= SMALL_JSON_BYTES:
        with refused_unless_json(example):
            return decoder.decode(text)
    text = text.strip(" \t\n\r")
    lists: list[ListText] = []
    rest: list[str] = []
    place = 0
    while (match := _DATA.search(text, place)) is not None:
        if len(lists) == len(inputs):
            raise BadRequest("wrong inputs", expected=example, found=f"more lists of data than {len(inputs)}")
        start, end = match.end(), _end_of_list(text, match.end())
        rest += text[place:start], f"[{len(lists)}]"
        lists.append(ListText(text, start, end, decoder, example))
        place = end
    rest.append(text[place:])
    if sum(map(len, rest)) > SMALL_JSON_BYTES:
        raise BadRequest(
            "JSON of the wrong form", expected=example, found=f"more than {SMALL_JSON_BYTES} characters besides data"
        )
    with refused_unless_json(example):
        document = decoder.decode("".join(rest))
    entries = document.get("inputs") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        match entry:
            # A list under such a key was cut out, whatever it held, and its number stands in its place.
            case {"data": [int(number)]} if 0 <= number < len(lists):
                entry["data"] = lists[number]
    return document


def _end_of_list(text: str, start: int) -> int:
    """Find the place behind the end of a list, or the end of the text where the list has none.

    A bracket inside a text counts as one of a list: a list that holds such a text is refused anyway.

    Raises:
        BadRequest: there are too many lists in the list.
    """
    depth = 0
    for openings, bracket in enumerate(_BRACKET.finditer(text, start)):
        if openings > 2 * MOST_LISTS:
            raise BadRequest(
                "too many lists in one list",
                expected=f"at most {MOST_LISTS}, or the values in one flat list",
                found="more",
                status=413,
            )
        depth += 1 if bracket.group() == "[" else -1
        if depth == 0:
            return bracket.end()
    return len(text)
