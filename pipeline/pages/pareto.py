"""Draw the trade-off: drop of accuracy against latency and against size, with front, budget and choice."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from pipeline.measure.gain import Estimate, estimate
from pipeline.pages.front import Cost, Point, pareto_front, staircase
from pipeline.pages.labels import Box, place_labels

# With more points than this, only the front, the chosen point and float are named.
_ALL_NAMED = 12
# Where the largest drop is more than this many times the budget, the scale is logarithmic above twice the budget.
_FAR = 5
_INSIDE, _OUTSIDE, _OVERTURNS, _CHOSEN = "#1f77b4", "#b0653a", "#7b4fa3", "#1a7f37"
_BUDGET, _FRONT = "#c62828", "#5f6b7a"
_FONT_SIZE = 8
_MARKER_PIXELS = 7.0
_RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 14,
    "markerfacecolor": "none",
    "markeredgewidth": 0.9,
    "linestyle": "none",
}
_FACES = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One of the two pictures.

    Args:
        axes: axes to draw on.
        cost: cost that the drop is drawn against.
        points: every candidate.
        costs: cost of each candidate, by name.
        front: names of the points on the front, the cheapest first.
        steps: names of the points that the front's line goes through, the cheapest first.
    """

    axes: Axes
    cost: Cost
    points: Sequence[Point]
    costs: Mapping[str, Estimate]
    front: Sequence[str]
    steps: Sequence[str]


def draw_pareto(
    points: Sequence[Point],
    *,
    metric: str,
    drop: str,
    title: str,
    why: str,
    budget: float,
    reference: str,
    form: Literal["png", "svg"],
) -> bytes:
    """Draw both trade-offs; the same figures give the same bytes.

    Args:
        points: every candidate.
        metric: name of what may drop, such as accuracy.
        drop: the same with what it drops against, such as accuracy against float.
        title: title of the picture.
        why: reason why the selected candidate was chosen.
        budget: the largest drop allowed, as a fraction.
        reference: name of the float candidate that drops are against.
        form: file format of the picture.

    Returns:
        The file's content.
    """
    with mpl.rc_context({"svg.hashsalt": "pipeline", "font.family": ["DejaVu Sans"], "font.size": _FONT_SIZE + 1}):
        figure = Figure(figsize=(13, 6.2), dpi=110, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        panels = [
            _panel(figure.add_subplot(1, 2, 1), points, "latency"),
            _panel(figure.add_subplot(1, 2, 2), points, "size"),
        ]
        for panel in panels:
            _draw_panel(panel, metric=metric, drop=drop, budget=budget)
        chosen = next((point.name for point in points if point.selected), "none")
        figure.suptitle(f"{title}\nchosen: {chosen} ({why})", fontsize=_FONT_SIZE + 3)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=_FONT_SIZE + 0.5)
        canvas.draw()  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")  # labels are placed into this very layout
        for panel in panels:
            _name_points(panel, budget=budget, reference=reference)
        content = io.BytesIO()
        figure.savefig(content, format=form, metadata=_FACES[form])
    return content.getvalue()


def _panel(axes: Axes, points: Sequence[Point], cost: Cost) -> _Panel:
    costs = {point.name: _cost(point, cost) for point in points}
    front = pareto_front(points, cost)
    ordered = sorted(points, key=lambda point: (costs[point.name].value, point.drop, point.name))
    return _Panel(
        axes=axes,
        cost=cost,
        points=points,
        costs=costs,
        front=[point.name for point in ordered if point.name in front],
        steps=staircase(points, cost),
    )


def _draw_panel(panel: _Panel, *, metric: str, drop: str, budget: float) -> None:
    axes = panel.axes
    for point in panel.points:
        at = panel.costs[point.name]
        color = _color(point)
        axes.errorbar(
            at.value,
            point.drop * 100,
            xerr=[[at.value - at.low], [at.high - at.value]],
            yerr=[[max(0, point.drop - point.drop_low) * 100], [max(0, point.drop_high - point.drop) * 100]],
            fmt="none",
            ecolor=color,
            elinewidth=1,
            alpha=0.55,
            zorder=2,
        )
        axes.plot(
            at.value,
            point.drop * 100,
            marker="*" if point.selected else "o" if point.allowed else "D" if point.overturns else "X",
            markersize=15 if point.selected else 6 if point.overturns else 7,
            color=color,
            markerfacecolor=color if point.allowed else "white",
            markeredgewidth=1.2,
            linestyle="none",
            zorder=4 if point.selected else 3,
        )
    places = {point.name: (panel.costs[point.name].value, point.drop * 100) for point in panel.points}
    for name in panel.front:
        axes.plot(*places[name], color=_FRONT, zorder=2.5, **_RING)
    corners = _corners([places[name] for name in panel.steps])
    axes.plot([x for x, _ in corners], [y for _, y in corners], color=_FRONT, linewidth=1.4, zorder=1)
    axes.axhline(budget * 100, color=_BUDGET, linestyle="--", linewidth=1.2, zorder=1)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    _scale(panel, budget * 100)
    axes.set_xlabel("latency at batch size 1, ms" if panel.cost == "latency" else "size of the model file, kB")
    axes.set_ylabel(f"drop of {drop}, points (up is worse)")
    axes.set_title(f"{metric} against {panel.cost}")
    axes.grid(visible=True, which="major", alpha=0.25)


def _scale(panel: _Panel, budget: float) -> None:
    axes, points, costs = panel.axes, panel.points, list(panel.costs.values())
    axes.set_xscale("log")
    least, most = min(cost.value for cost in costs), max(cost.value for cost in costs)
    spread = most / least
    margin = max(spread**0.3, 1.3)  # on both sides, as room for names
    axes.set_xlim(
        min(least / margin, *(cost.low / 1.05 for cost in costs)),
        max(most * margin, *(cost.high * 1.05 for cost in costs)),
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if spread > 3 else (1.0, 1.5, 2, 3, 4, 5, 6, 7, 8)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    high, low = max(point.drop_high * 100 for point in points), min(0.0, *(point.drop_low * 100 for point in points))
    unit = budget or 0.1
    if high > _FAR * unit:
        axes.set_yscale("symlog", linthresh=2 * unit, linscale=1.6)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(low - 0.35 * unit, high * 1.6)
    else:
        top = max(high, budget)
        axes.set_ylim(low - 0.12 * (top - low), top + 0.15 * (top - low))


def _name_points(panel: _Panel, *, budget: float, reference: str) -> None:
    """Write names next to their points, the important ones first, so that these find room."""
    axes, points = panel.axes, panel.points
    named = [point for point in points if point.selected]
    named += [point for point in points if point.name == reference and point not in named]
    named += [point for point in points if point.name in panel.front and point not in named]
    if len(points) <= _ALL_NAMED:
        named += [point for point in points if point not in named]
    pixels = {point.name: _pixel(axes, panel.costs[point.name].value, point.drop * 100) for point in points}
    texts = [
        axes.annotate(
            point.name,
            xy=(0, 0),
            xycoords="figure pixels",
            fontsize=_FONT_SIZE,
            fontweight="bold" if point.selected else "normal",
            color=_color(point) if point.selected or not point.allowed else "black",
        )
        for point in named
    ]
    extents = [text.get_window_extent() for text in texts]
    boxes = place_labels(
        [pixels[point.name] for point in named],
        [(box.width + 4, box.height + 2) for box in extents],
        obstacles=[_marker(panel, point, pixels[point.name]) for point in points] + [_line(axes, budget)],
        avoided=[
            *(bar for point in points for bar in _bars(panel, point)),
            *_along(_corners([pixels[name] for name in panel.steps])),
        ],
        bounds=_box(axes.get_window_extent()),
        gap=_MARKER_PIXELS + 2,
    )
    for point, text, box in zip(named, texts, boxes, strict=True):
        text.remove()
        if box is None:
            continue
        axes.annotate(
            point.name,
            xy=(panel.costs[point.name].value, point.drop * 100),
            xytext=_value(axes, box.left + 2, box.bottom + 2),
            textcoords="data",
            fontsize=text.get_fontsize(),
            fontweight=text.get_fontweight(),
            color=text.get_color(),
            verticalalignment="bottom",
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkB": 5, "relpos": (0.5, 0.5)},
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            zorder=5,
        )


def _color(point: Point) -> str:
    return _CHOSEN if point.selected else _INSIDE if point.allowed else _OVERTURNS if point.overturns else _OUTSIDE


def _corners(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a staircase through points of rising cost and falling drop: the least drop up to each cost."""
    corners = list(steps[:1])
    for (_, above), (x, y) in pairwise(steps):
        corners += [(x, above), (x, y)]
    return corners


def _along(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes that cover the front's line."""
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        steps = max(2, round(math.hypot(next_x - x, next_y - y) / 6))
        for step in range(steps):
            at_x, at_y = x + (next_x - x) * step / steps, y + (next_y - y) * step / steps
            boxes.append(Box(left=at_x - 2, bottom=at_y - 2, right=at_x + 2, top=at_y + 2))
    return boxes


def _marker(panel: _Panel, point: Point, middle: tuple[float, float]) -> Box:
    half = _MARKER_PIXELS * (1.5 if point.selected or point.name in panel.front else 1)
    x, y = middle
    return Box(left=x - half, bottom=y - half, right=x + half, top=y + half)


def _bars(panel: _Panel, point: Point) -> list[Box]:
    axes, at, drop = panel.axes, panel.costs[point.name], point.drop * 100
    x, low = _pixel(axes, at.value, min(point.drop, point.drop_low) * 100)
    _, high = _pixel(axes, at.value, max(point.drop, point.drop_high) * 100)
    left, y = _pixel(axes, at.low, drop)
    right, _ = _pixel(axes, at.high, drop)
    return [
        Box(left=x - 1.5, bottom=low, right=x + 1.5, top=high),
        Box(left=left, bottom=y - 1.5, right=right, top=y + 1.5),
    ]


def _line(axes: Axes, budget: float) -> Box:
    """The box of the budget's line, across the whole panel."""
    _, y = _pixel(axes, 1, budget * 100)
    frame = axes.get_window_extent()
    return Box(left=frame.x0, bottom=y - 1.5, right=frame.x1, top=y + 1.5)


def _pixel(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _value(axes: Axes, across: float, up: float) -> tuple[float, float]:
    x, y = axes.transData.inverted().transform((across, up))
    return float(x), float(y)


def _box(extent: Bbox) -> Box:
    return Box(left=extent.x0, bottom=extent.y0, right=extent.x1, top=extent.y1)


def _cost(point: Point, cost: Cost) -> Estimate:
    if cost == "latency":
        return estimate(point.latency_ms)
    kilobytes = point.size / 1000
    return Estimate(value=kilobytes, low=kilobytes, high=kilobytes)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], marker="*", markersize=13, linestyle="none", color=_CHOSEN, label="chosen"),
        Line2D([], [], marker="o", linestyle="none", color=_INSIDE, label="inside its limits"),
        Line2D(
            [],
            [],
            marker="X",
            linestyle="none",
            color=_OUTSIDE,
            markerfacecolor="white",
            label="over the budget, or not provably inside",
        ),
        Line2D(
            [],
            [],
            marker="D",
            markersize=6,
            linestyle="none",
            color=_OVERTURNS,
            markerfacecolor="white",
            label="refused for too many confident flips, whatever its drop",
        ),
        Line2D([], [], color=_FRONT, label="on the front: no other one is certainly better", **_RING),
        Line2D([], [], color=_FRONT, label="no other one was measured below and left of this line"),
        Line2D([], [], color=_BUDGET, linestyle="--", label="budget; bars end at the bound held against it"),
    ]
