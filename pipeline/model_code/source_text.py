"""Parses TorchScript source, whose text Python and torch have to split into the same words."""

from __future__ import annotations

import ast
import re
import tokenize
from io import StringIO

_FOREIGN = re.compile(r"[^\n -~]|\\\n")


class SourceError(ValueError):
    """Source that is refused. The message names its place: `member, line 3: expected ..., found ...`."""


def parse(module: str, text: str) -> ast.Module:
    """The tree of a module's source.

    Raises:
        SourceError: the text is not source, or has comments, line continuations or other than printable ASCII.
    """
    if foreign := _FOREIGN.search(text):
        line = text.count("\n", 0, foreign.start()) + 1
        raise SourceError(f"{module}, line {line}: expected printable ASCII, found {foreign[0]!r}")
    try:
        if "#" in text and any(
            word.type == tokenize.COMMENT for word in tokenize.generate_tokens(StringIO(text).readline)
        ):
            raise SourceError(f"{module}: expected source without comments, found one")
        return ast.parse(text)
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        place = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise SourceError(f"{module}{place}: expected TorchScript source, found: {reason}") from error
