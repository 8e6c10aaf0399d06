"""Write a page of its own about two graphs: what the files are, and the section that shows them side by side."""

from __future__ import annotations

import html

from pipeline.inspection.graph_comparison import GraphComparison, GraphFile
from pipeline.pages.graph_section import graph_section
from pipeline.visible import visible

_STYLE = """
:root { --back: #f4f6f8; --text: #1b1f24; --quiet: #525a64; }
@media (prefers-color-scheme: dark) { :root { --back: #101317; --text: #e9ecef; --quiet: #a8b1bc; } }
@media print { :root { --back: #fff; --text: #000; --quiet: #333; } }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 75rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0 0 1rem; font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1rem; margin: 0; font-size: .9rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
"""


def graph_page(comparison: GraphComparison) -> str:
    """Write a whole page of HTML, which loads nothing from elsewhere and runs no script."""
    before, after = comparison.before, comparison.after
    title = _text(f"{before.label} and {after.label}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"<dl>{_facts('Before', before)}{_facts('After', after)}</dl>\n{graph_section(comparison)}</main>\n</body>\n"
        "</html>\n"
    )


def _facts(title: str, file: GraphFile) -> str:
    opset = ", ".join(f"{domain} {version}" for domain, version in file.opset.items())
    facts = [file.format, f"{file.size:,} bytes", *([f"opset {opset}"] if opset else []), f"SHA-256 {file.sha256}"]
    return f"<dt>{title}</dt><dd>{_text(f'{file.label}: ' + ', '.join(facts))}</dd>"


def _text(text: str) -> str:
    return html.escape(visible(text))
