"""A rich console for text that may come from anyone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.visible import visible

# Width for where the width of a terminal is not known: wide enough for the table of a build.
PIPE_WIDTH = 130


class _PlainConsole(Console):
    """Shows text as it is: neither markup nor emoji codes nor control characters in it do anything.

    Inherited, because rich takes text in at one method alone, for what is printed and for the cells of tables alike.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible(text, lines=True), **how)


def plain_console(**settings: Any) -> Console:
    """Return a console for text that may come from anyone; `markup=True` on a call is for our own words.

    Args:
        settings: settings as rich's `Console` takes them.
    """
    return _PlainConsole(highlight=False, markup=False, emoji=False, **settings)


def show(draw: Callable[[Console], None]) -> None:
    """Draw on standard output, in the terminal's width, or wide enough for the tables."""
    console = plain_console()
    if not console.is_terminal:
        console = plain_console(width=PIPE_WIDTH)
    elif console.is_dumb_terminal:  # rich takes it for one of 80 columns
        columns, lines = shutil.get_terminal_size()
        console = plain_console(width=columns, height=lines)
    # Rich ends the process when its reader goes away. Where the text is written here, that is an error like any other.
    with console.capture() as drawn:
        draw(console)
    sys.stdout.write(drawn.get())
