"""Checks of a description that somebody else wrote: of names that become paths, counts, shares."""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from .tolerance import Tolerance

# Pattern of every name, as in recipes. Names become file names and parts of URLs.
NAME = r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*$"
# Longest names, in characters. A file system's limit is 255 bytes, and names get endings; the name of a candidate
# consists of several names.
LONGEST_NAME = 100
_LONGEST_OF_ALL = 240
_SHA256 = re.compile("[0-9a-f]{64}")
# Largest numbers of a machine's threads, and of examples in a call. No description that is meant has more.
MOST_THREADS = 1024
MOST_EXAMPLES = 1 << 16
# Largest size of one axis of an input.
MOST_SIZE = (1 << 31) - 1
_LARGEST = sys.float_info.max
# From these values on, a field of a tolerance accepts every answer: a share is the whole, output steps are the whole
# range, and float32 answers do not reach the others.
_ACCEPTS_ALL = {"relative": 1.0, "spread": 1.0, "steps": 255.0, "absolute": 1e30, "usual_spread": 1e30}


def checked_name(value: object, where: str, *, longest: int = LONGEST_NAME) -> str:
    """Check a name that may become a file name or part of a URL.

    Args:
        value: the value in the description.
        where: name of its field, for the message.
        longest: largest length, in characters.

    Raises:
        ValueError: the value is not such a name.
    """
    # `$` alone would let a line end pass behind the name.
    if not isinstance(value, str) or re.fullmatch(NAME[:-1], value) is None or len(value) > longest:
        raise ValueError(
            f"{where}: expected a name of at most {longest} letters, digits, - and _, single dots between them, "
            f"found {_describe_value(value)}"
        )
    return value


def checked_candidate(value: object, where: str) -> str:
    """Check a candidate's name, which consists of several names."""
    return checked_name(value, where, longest=_LONGEST_OF_ALL)


def checked_file(value: object, where: str, ending: str) -> str:
    """Check a plain file name with the ending of its kind: a model named `numpy.py` would be imported for numpy.

    Raises:
        ValueError: the value is not such a name.
    """
    named = isinstance(value, str) and re.fullmatch(NAME[:-1], value) and len(value) <= _LONGEST_OF_ALL
    if not named or PurePosixPath(str(value)).suffix != ending:
        raise ValueError(f"{where}: expected a plain file name that ends in {ending}, found {_describe_value(value)}")
    return str(value)


def checked_member(value: object, where: str) -> str:
    """Check the name of a file in an archive: it is relative, has no step upwards, and means the same on every system.

    Raises:
        ValueError: the value is not such a name.
    """
    parts = value.split("/") if isinstance(value, str) else [""]
    if not all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", part) for part in parts):
        raise ValueError(f"{where}: expected relative names of files, found {_describe_value(value)}")
    return str(value)


def checked_sha256(value: object, where: str) -> str:
    """Check a SHA-256 in hexadecimal digits.

    Raises:
        ValueError: the value is not a SHA-256.
    """
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise ValueError(f"{where}: expected a SHA-256 in 64 hexadecimal digits, found {_describe_value(value)}")
    return value


def checked_files(value: object, where: str) -> dict[str, str]:
    """Check the SHA-256, by name, of files in an archive.

    Raises:
        ValueError: the value is not an object of these.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected SHA-256 by name, found {_describe_value(value)}")  # noqa: TRY004 - a description is at fault
    return {checked_member(name, where): checked_sha256(digest, f"{where}: {name}") for name, digest in value.items()}


def checked_settings(value: object, where: str) -> dict[str, Any]:
    """Check that settings are named; their values are checked where they are used.

    Raises:
        ValueError: the value is not an object of settings by name.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{where}: expected settings by name, found {_describe_value(value)}")
    return dict(value)


def checked_text(value: object, where: str) -> str:
    """Check any text, such as a label.

    Raises:
        ValueError: the value is not a text.
    """
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected text, found {_describe_value(value)}")  # noqa: TRY004 - a description is at fault
    return value


def checked_line(value: object, where: str) -> str:
    """Check a text for one line of a log: it is not empty, and nothing in it ends the line or controls a terminal.

    Raises:
        ValueError: the value is not such a text.
    """
    text = checked_text(value, where)
    if not text or any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text):
        raise ValueError(f"{where}: expected text without control characters, found {_describe_value(text)}")
    return text


def checked_count(value: object, where: str, *, most: int, least: int = 1) -> int:
    """Check a whole number.

    Args:
        value: the value in the description.
        where: name of its field, for the message.
        most: largest number that is allowed.
        least: smallest number that is allowed.

    Raises:
        ValueError: the value is not such a number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{where}: expected a whole number from {least} to {most}, found {_describe_value(value)}")
    return value


def checked_counts(value: object, where: str, *, most: int, least: int = 1) -> tuple[int, ...]:
    """Check a list of whole numbers.

    Raises:
        ValueError: the value is not such a list.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected a list of whole numbers, found {_describe_value(value)}")  # noqa: TRY004 - a description is at fault
    return tuple(checked_count(number, where, most=most, least=least) for number in value)


def checked_number(value: object, where: str, *, above: float = -math.inf, most: float = math.inf) -> float:
    """Check a number that is neither NaN nor infinite.

    Args:
        value: the value in the description.
        where: name of its field, for the message.
        above: number that the value must exceed.
        most: largest number that is allowed.

    Raises:
        ValueError: the value is not such a number.
    """
    # Python compares a whole number that is too large for a float without an error, so this refuses it as well.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{where}: expected a number, found {_describe_value(value)}")
    if not above < value <= most:
        raise ValueError(f"{where}: expected a number above {above:g}, up to {most:g}, found {_describe_value(value)}")
    return float(value)


def checked_flag(value: object, where: str) -> bool:
    """Check a value that is true or false.

    Raises:
        ValueError: the value is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, found {_describe_value(value)}")  # noqa: TRY004 - a description is at fault
    return value


def checked_tolerance(document: object, where: str) -> Tolerance:
    """Check a tolerance, which must be able to refuse an answer: no NaN, nothing negative, no share of the whole.

    Args:
        document: document by `Tolerance.to_json`; a field that an earlier release did not write has its default.
        where: name of its field, for the message.

    Raises:
        ValueError: the document is not a tolerance, or accepts every answer.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"{where}: expected an object, found {_describe_value(document)}")  # noqa: TRY004 - a description is at fault
    fields: dict[str, Any] = dict(document)
    for name, value in fields.items():
        if name == "outputs":
            _check_output_limits(value, f"{where}.{name}")
        elif name == "same_decision":
            checked_flag(value, f"{where}.{name}")
        elif name not in _ACCEPTS_ALL:
            raise ValueError(f"{where}: expected the fields of a tolerance, found {_describe_value(name)} among them")
        else:
            _check_limit(name, value, where)
    return Tolerance.from_json(fields)


def _check_output_limits(value: object, where: str) -> None:
    """Check what a tolerance knows of each of several outputs.

    Raises:
        ValueError: the value is not a list of these, or one of them accepts every answer.
    """
    fields = {"name", "shape", "absolute", "usual_spread"}
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(output, Mapping) and set(output) == fields for output in value
    ):
        raise ValueError(f"{where}: expected objects with {', '.join(sorted(fields))}, found {_describe_value(value)}")
    for output in value:
        checked_line(output["name"], f"{where}: name")
        checked_counts(output["shape"], f"{where}: shape", most=MOST_SIZE)
        for name in ("absolute", "usual_spread"):
            _check_limit(name, output[name], where)


def _check_limit(name: str, value: object, where: str) -> None:
    """Check one number of a tolerance: it must be able to refuse an answer."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _ACCEPTS_ALL[name]:
        raise ValueError(
            f"{where}.{name}: expected a number from 0 to less than {_ACCEPTS_ALL[name]:g}, which would accept "
            f"every answer, found {_describe_value(value)}"
        )


def _describe_value(value: object) -> str:
    """Write a value in one line of bounded length, without any character that a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
