"""What the pages point at is there, and the map of the architecture names all that it is a map of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "docker").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_leads_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [(file, place) for file, place in links if place not in anchors(page.parent / file if file else page)] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them: in small letters, hyphens for spaces, and nothing else but letters."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def test_every_page_can_be_reached_from_the_readme() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"docs/{page.name}" not in readme] == []


def test_the_map_names_every_package_and_module_and_no_other() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.partition("\npipeline/\n")[2].partition("\nhandlers/")[0]
    # A line begins with names, and goes on behind two spaces or more with what they are for.
    heads = [re.split(r"\s{2,}", line.strip())[0] for line in tree.splitlines() if not line.startswith("   ")]
    named = {name.strip("/,") for head in heads for name in head.split()} - {"then"}
    names = {file.parent.name for file in (CHECKOUT / "pipeline").glob("*/__init__.py")}
    names |= {file.stem for file in (CHECKOUT / "pipeline").glob("*.py") if not file.stem.startswith("__")}
    assert named == names


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:py|conf))`", text))
    files = {path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("[a-z]*/**/*") if path.is_file()}
    assert names
    # A name may leave out the folders in front, where a row says them before.
    assert [name for name in sorted(names) if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []
