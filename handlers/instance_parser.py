"""The instances of a large JSON body, one after the other.

`json.loads` makes objects of the whole text before anybody can check them: from 6.5 MB of `[],` it makes 2 million
lists in 164 MB, in half a second. Here, an instance is parsed only when all instances before it have been checked. The
end of a list is searched for before the list is parsed, so that no list is parsed that is longer, or holds more lists
or numbers, than the inputs allow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, but json itself calls it
from typing import Any

from .bad_request import BadRequest
from .decode import InputSpec
from .json_text import key_twice

_TAIL = re.compile(r"[ \t\n\r]*\}[ \t\n\r]*\Z")
_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKET = re.compile(r"[\[\]]")
# Largest number of characters of a number, `null` or `true` outside a list.
_LONGEST_SCALAR = 400
_TOO_LONG_SCALAR = re.compile(rf"[-+.0-9A-Za-z]{{{_LONGEST_SCALAR + 1}}}")
# A list may have so many characters for each of its numbers, with the space around it, and so many more in all. Python
# needs 0.2 ms for an integer of 4,300 digits, the longest that it reads.
LONGEST_NUMBER, LONGEST_SPACE = 64, 65_536
# Largest number of lists in one instance of an input whose sizes a request may choose, whatever it declares. They take
# some 25 MB.
MOST_LISTS = 250_000


class Instances:
    """The instances between the brackets of an object of one key, `{"instances": [...]}`.

    Args:
        text: text of the whole body.
        key: key of the object.
        inputs: inputs of the model.
        decoder: decoder for JSON values.
        example: a body that the model takes, for messages.

    Raises:
        BadRequest: the text begins with another form.
    """

    def __init__(
        self, text: str, key: str, inputs: Sequence[InputSpec], decoder: json.JSONDecoder, example: str
    ) -> None:
        self._inputs = {spec.name: spec for spec in inputs}
        self._most = {spec.name: _most_numbers_and_lists(spec) for spec in inputs}
        self._decoder = decoder
        self._example = example
        self._text = text
        head = re.match(rf'[ \t\n\r]*\{{[ \t\n\r]*"{key}"[ \t\n\r]*:[ \t\n\r]*\[', self._text)
        if head is None:
            raise BadRequest("JSON of the wrong form", expected=example, found=self._text[:40])
        self._place = head.end()

    def __iter__(self) -> Iterator[Any]:
        """Parse the instances, one after the other.

        Raises:
            BadRequest: an instance is longer than the inputs allow, or has keys that are not inputs.
            ValueError: the text is not JSON.
            RecursionError: the text is nested too deeply for the decoder.
        """
        self._skip()
        if self._at("]"):
            self._place += 1
        else:
            index = 0
            while True:
                yield self._instance(index)
                if self._at("]"):
                    self._place += 1
                    break
                self._take(",")
                index += 1
        if _TAIL.match(self._text, self._place) is None:
            rest = self._text[self._place : self._place + 40]
            raise BadRequest("JSON of the wrong form", expected=self._example, found=f"behind the instances: {rest}")

    def _instance(self, index: int) -> Any:
        where = f"instance {index}"
        first = next(iter(self._inputs.values()))
        if len(self._inputs) == 1 and first.columns:
            return self._row(first, where)
        if self._at("{"):
            return self._object(where, depth=2)
        # An instance without names is for a model of one input. If the model has more, the caller refuses the instance.
        return self._value(first, f"{where}, input {first.name}", depth=1)

    def _object(self, where: str, *, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        self._take("{")
        while not self._at("}"):
            if pairs:
                self._take(",")
            key = self._string()
            if key not in self._inputs and key != "b64":
                raise BadRequest(
                    f"{where}: wrong inputs", expected=self._example, found=f"an object with the keys {[key[:99]]}"
                )
            if key in pairs:
                raise key_twice(key)
            self._take(":")
            spec = self._inputs.get(key, next(iter(self._inputs.values())))
            pairs[key] = self._value(spec, f"{where}, input {spec.name}", depth=depth - 1)
        self._take("}")
        return pairs

    def _row(self, spec: InputSpec, where: str, *, nested: bool = False) -> Any:
        """Parse one row of a table, an object or a list; it holds no more values than the table has columns.

        Args:
            spec: input with columns.
            where: the instance, for messages.
            nested: whether the row already stands under the name of the input.
        """
        if self._at("["):
            self._take("[")
            values: list[Any] = []
            while not self._at("]"):
                if values:
                    self._take(",")
                self._require_column(len(values), spec, where)
                values.append(self._cell(where))
            self._take("]")
            return values
        if not self._at("{"):
            return self._cell(where)
        pairs: dict[str, Any] = {}
        self._take("{")
        while not self._at("}"):
            if pairs:
                self._take(",")
            self._require_column(len(pairs), spec, where)
            key = self._string()
            if key in pairs:
                raise key_twice(key)
            self._take(":")
            row = not nested and key == spec.name and (self._at("[") or self._at("{"))
            pairs[key] = self._row(spec, where, nested=True) if row else self._cell(where)
        self._take("}")
        return pairs

    def _require_column(self, values: int, spec: InputSpec, where: str) -> None:
        if values == len(spec.columns):
            raise BadRequest(
                f"{where}: wrong number of values", expected=f"{len(spec.columns)}, one per column", found="more"
            )

    def _cell(self, where: str) -> Any:
        if self._at('"'):
            return self._string()
        if self._at("[") or self._at("{"):
            raise BadRequest(
                f"{where}: wrong kind of value",
                expected="a number or a text for each column",
                found=self._text[self._place : self._place + 40],
            )
        return self._scalar(where)

    def _scalar(self, where: str) -> Any:
        self._require_short(where)
        value, length = self._decoder.raw_decode(self._text[self._place : self._place + _LONGEST_SCALAR + 1])
        self._place += length
        self._skip()
        return value

    def _require_short(self, where: str) -> None:
        if _TOO_LONG_SCALAR.match(self._text, self._place):
            raise BadRequest(
                f"{where}: number too long",
                expected=f"at most {_LONGEST_SCALAR} characters",
                found=self._text[self._place : self._place + 40],
            )

    def _value(self, spec: InputSpec, where: str, *, depth: int) -> Any:
        if spec.columns:
            return self._row(spec, where, nested=True)
        if self._at('"'):
            return self._string()
        if self._at("{") and depth:
            return self._object(where, depth=depth)
        self._require_short(where)
        end = self._end_of_list(spec, where) if self._at("[") else self._place + _LONGEST_SCALAR + 1
        try:
            if end >= len(self._text):
                value, self._place = self._decoder.raw_decode(self._text, self._place)
            else:
                value, length = self._decoder.raw_decode(self._text[self._place : end])
                self._place += length
        except ValueError as error:
            if end >= len(self._text):
                raise
            # The text is not JSON, or it has a text with brackets inside a list, which no list of numbers has.
            raise self._wrong_shape(spec, where) from error
        self._skip()
        return value

    def _end_of_list(self, spec: InputSpec, where: str) -> int:
        """Find the place behind the end of a list, or the end of the text where the list has none.

        A bracket inside a text counts as one of a list: a list that holds a text is refused anyway, wherever it ends.

        Raises:
            BadRequest: the list does not fit the input.
        """
        numbers, lists = self._most[spec.name]
        most = min(lists, MOST_LISTS) if spec.dynamic_axes else lists
        depth, openings, end = 0, 0, len(self._text)
        for bracket in _BRACKET.finditer(self._text, self._place):
            if bracket.group() == "[":
                depth += 1
                openings += 1
                if openings > most:
                    raise self._too_many_lists(where) if most < lists else self._wrong_shape(spec, where)
            else:
                depth -= 1
                if depth == 0:
                    end = bracket.end()
                    break
        commas = self._text.count(",", self._place, end)
        if commas >= numbers or end - self._place > LONGEST_NUMBER * (commas + openings) + LONGEST_SPACE:
            raise self._wrong_shape(spec, where)
        return end

    def _wrong_shape(self, spec: InputSpec, where: str) -> BadRequest:
        return BadRequest(
            f"{where}: not of the input's shape",
            expected=f"nested lists of shape {list(spec.shape)}" if spec.shape else "a number",
            found=self._text[self._place : self._place + 40],
        )

    def _too_many_lists(self, where: str) -> BadRequest:
        return BadRequest(f"{where}: too many lists", expected=f"at most {MOST_LISTS}", found="more", status=413)

    def _string(self) -> str:
        if not self._at('"'):
            raise self._problem("a text")
        text: str
        text, self._place = scanstring(self._text, self._place + 1)
        self._skip()
        return text

    def _at(self, character: str) -> bool:
        return self._text.startswith(character, self._place)

    def _take(self, character: str) -> None:
        """Step over a character and the space behind it."""
        if not self._at(character):
            raise self._problem(character)
        self._place += 1
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._place)
        assert match is not None
        self._place = match.end()

    def _problem(self, expected: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(f"Expecting {expected!r}", self._text, self._place)


def _most_numbers_and_lists(spec: InputSpec) -> tuple[float, float]:
    """Count the most numbers, and the most lists, in an instance; infinite where an axis has no largest size."""
    numbers, lists = 1.0, 0.0
    for axis in range(len(spec.shape)):
        largest = spec.size_range(axis)[1]
        lists += numbers
        numbers *= math.inf if largest is None else largest
    return numbers, lists
