"""What may stand in a description that somebody else wrote: names that become paths, counts, shares."""

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
# A file system's limit is 255 bytes, and names get endings; a candidate's consists of several.
LONGEST_NAME = 100
_LONGEST_OF_ALL = 240
_SHA256 = re.compile("[0-9a-f]{64}")
# Below any count of a machine's threads that is meant, and of examples in a call.
MOST_THREADS = 1024
MOST_EXAMPLES = 1 << 16
# Of one axis of an input.
MOST_SIZE = (1 << 31) - 1
_LARGEST = sys.float_info.max
# From here on, a field of a tolerance accepts every answer: a share of the whole, output steps of the whole range, and
# what float32 answers do not reach.
_ACCEPTS_ALL = {"relative": 1.0, "spread": 1.0, "steps": 255.0, "absolute": 1e30, "usual_spread": 1e30}


def checked_name(value: object, where: str, *, longest: int = LONGEST_NAME) -> str:
    """A name that may become a file name or part of a URL.

    Args:
        value: as the description gives it.
        where: its field, for the message.
        longest: how long it may be, in characters.

    Raises:
        ValueError: it is none.
    """
    # `$` alone would let a line end pass behind the name.
    if not isinstance(value, str) or re.fullmatch(NAME[:-1], value) is None or len(value) > longest:
        raise ValueError(
            f"{where}: expected a name of at most {longest} letters, digits, - and _, single dots between them, "
            f"found {_shown(value)}"
        )
    return value


def checked_candidate(value: object, where: str) -> str:
    """A candidate's name, which consists of several."""
    return checked_name(value, where, longest=_LONGEST_OF_ALL)


def checked_file(value: object, where: str, ending: str) -> str:
    """A plain file name that ends as its kind must: a model called `numpy.py` would be imported instead of numpy.

    Raises:
        ValueError: it is none.
    """
    named = isinstance(value, str) and re.fullmatch(NAME[:-1], value) and len(value) <= _LONGEST_OF_ALL
    if not named or PurePosixPath(str(value)).suffix != ending:
        raise ValueError(f"{where}: expected a plain file name that ends in {ending}, found {_shown(value)}")
    return str(value)


def checked_member(value: object, where: str) -> str:
    """Name of a file in an archive: relative, without a step upwards or anything that one system reads otherwise.

    Raises:
        ValueError: it is none.
    """
    parts = value.split("/") if isinstance(value, str) else [""]
    if not all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", part) for part in parts):
        raise ValueError(f"{where}: expected relative names of files, found {_shown(value)}")
    return str(value)


def checked_sha256(value: object, where: str) -> str:
    """A SHA-256 in hexadecimal digits.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise ValueError(f"{where}: expected a SHA-256 in 64 hexadecimal digits, found {_shown(value)}")
    return value


def checked_files(value: object, where: str) -> dict[str, str]:
    """SHA-256 by name of files in an archive.

    Raises:
        ValueError: it is no object of these.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected SHA-256 by name, found {_shown(value)}")  # noqa: TRY004 - a description is at fault
    return {checked_member(name, where): checked_sha256(digest, f"{where}: {name}") for name, digest in value.items()}


def checked_settings(value: object, where: str) -> dict[str, Any]:
    """Settings by name, whose values are for whoever knows them.

    Raises:
        ValueError: it is no object of these.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{where}: expected settings by name, found {_shown(value)}")
    return dict(value)


def checked_text(value: object, where: str) -> str:
    """Any text, such as a label.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected text, found {_shown(value)}")  # noqa: TRY004 - a description is at fault
    return value


def checked_line(value: object, where: str) -> str:
    """Text that becomes part of a line of a log: it is not empty, and nothing in it ends the line or steers a terminal.

    Raises:
        ValueError: it is none.
    """
    text = checked_text(value, where)
    if not text or any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text):
        raise ValueError(f"{where}: expected text without control characters, found {_shown(text)}")
    return text


def checked_count(value: object, where: str, *, most: int, least: int = 1) -> int:
    """A whole number.

    Args:
        value: as the description gives it.
        where: its field, for the message.
        most: the largest one allowed.
        least: the smallest one allowed.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{where}: expected a whole number from {least} to {most}, found {_shown(value)}")
    return value


def checked_counts(value: object, where: str, *, most: int, least: int = 1) -> tuple[int, ...]:
    """A list of whole numbers.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected a list of whole numbers, found {_shown(value)}")  # noqa: TRY004 - a description is at fault
    return tuple(checked_count(number, where, most=most, least=least) for number in value)


def checked_number(value: object, where: str, *, above: float = -math.inf, most: float = math.inf) -> float:
    """A number that is neither NaN nor infinite.

    Args:
        value: as the description gives it.
        where: its field, for the message.
        above: what it is larger than.
        most: the largest one allowed.

    Raises:
        ValueError: it is none.
    """
    # A whole number that no float holds is compared without an error, and is below no largest float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{where}: expected a number, found {_shown(value)}")
    if not above < value <= most:
        raise ValueError(f"{where}: expected a number above {above:g}, up to {most:g}, found {_shown(value)}")
    return float(value)


def checked_flag(value: object, where: str) -> bool:
    """True or false.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false, found {_shown(value)}")  # noqa: TRY004 - a description is at fault
    return value


def checked_tolerance(document: object, where: str) -> Tolerance:
    """A tolerance that can refuse an answer: no NaN, nothing negative, no share of the whole.

    Args:
        document: as `Tolerance.to_json` gives it; what an earlier release did not know yet has its default.
        where: its field, for the message.

    Raises:
        ValueError: it is none, or accepts every answer.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"{where}: expected an object, found {_shown(document)}")  # noqa: TRY004 - a description is at fault
    fields: dict[str, Any] = dict(document)
    for name, value in fields.items():
        if name == "same_decision":
            checked_flag(value, f"{where}.{name}")
        elif name not in _ACCEPTS_ALL:
            raise ValueError(f"{where}: expected the fields of a tolerance, found {_shown(name)} among them")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _ACCEPTS_ALL[name]:
            raise ValueError(
                f"{where}.{name}: expected a number from 0 to less than {_ACCEPTS_ALL[name]:g}, which would accept "
                f"every answer, found {_shown(value)}"
            )
    return Tolerance(**fields)


def _shown(value: object) -> str:
    """A value in one line of bounded length, and no character of it as it is that a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."
