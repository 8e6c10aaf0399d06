"""Says which release of this package made an archive, for messages about what another release cannot read."""

from __future__ import annotations

import re

from pipeline import __version__
from pipeline.recipe.section import LONGEST_NAME, NAME


def this_release() -> str:
    """Return the name and version of this installation."""
    return f"pipeline {__version__}"


def release_of(evidence: object) -> str:
    """Return the name and version of the release that made an archive; empty where its evidence does not say.

    Args:
        evidence: document of its `evidence.json`; nothing of it was checked.
    """
    code = evidence.get("code") if isinstance(evidence, dict) else None
    if not isinstance(code, dict):
        return ""
    named = (code.get("name"), code.get("version"))
    if all(isinstance(part, str) and len(part) <= LONGEST_NAME and re.fullmatch(NAME[:-1], part) for part in named):
        return " ".join(map(str, named))
    return ""


def made_elsewhere(evidence: object) -> str:
    """Return the end of a message: both releases, where the archive is another one's; else it is empty.

    Args:
        evidence: document of its `evidence.json`, as for `release_of`.
    """
    theirs = release_of(evidence)
    return "" if theirs in ("", this_release()) else f"; it was made by {theirs}, and this is {this_release()}"
