"""The command that says what a recipe may hold: recipe."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.cli.answer import say
from pipeline.cli.app import app
from pipeline.errors import UsageError


class _WithKeys(TyperCommand):
    """A command whose help ends in all keys of a recipe. Inherited, because typer asks a command for its help."""

    def get_help(self, ctx: Any) -> str:
        """Return the help, and the keys behind it; the models are loaded only now."""
        from pipeline.recipe.keys import key_lines, recipe_keys

        return "\n".join([super().get_help(ctx), "", *key_lines(recipe_keys())])


@app.command(cls=_WithKeys)
def recipe(
    section: Annotated[
        str | None, typer.Argument(metavar="SECTION", help="only this one and what is inside it, such as train")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="print the page docs/recipe.md")] = False,
) -> None:
    """Say every key that a recipe may have, with type, unit and default."""
    from pipeline.recipe.keys import key_lines, keys_page, recipe_keys
    from pipeline.recipe.names import meant

    if markdown:
        say(*keys_page().rstrip("\n").split("\n"))
        return
    groups = recipe_keys()
    if section is not None:
        names = list(dict.fromkeys(group.name for group in groups if group.name))
        groups = tuple(group for group in groups if f"{group.name}.".startswith((f"{section}.", f"{section}[]")))
        if not groups:
            tops = [name for name in names if "." not in name]
            raise UsageError(
                f"recipe {section}: expected a section of a recipe ({', '.join(tops)}), found none"
                f"{meant(section, names)}"
            )
    say(*key_lines(groups))
