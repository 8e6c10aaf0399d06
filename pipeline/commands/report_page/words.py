"""Figures as the report writes them."""

from __future__ import annotations


def points(fraction: float) -> str:
    """Write a fraction in points, with its sign where it is below zero."""
    return f"{fraction * 100:.2f}".replace("-0.00", "0.00")


def percent(fraction: float) -> str:
    """Write a fraction in percent."""
    return f"{fraction * 100:.2f} %"


def file_size(size: int) -> str:
    """Write a size in bytes in the unit that a person reads."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def duration(milliseconds: float) -> str:
    """Write a time in the unit that a person reads."""
    return f"{milliseconds:.3g} ms" if milliseconds >= 0.1 else f"{milliseconds * 1e3:.3g} µs"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
