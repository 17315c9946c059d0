"""Charts as inline SVG without scripts: lines and stacked bars, with axes that show round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from mlpatterns.server.pages.html import Markup, element, group

__all__ = ["Series", "chart"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 210, 64, 26, 10, 32
MOST_POINTS = 400  # points of one series; if it has more, only the highest point of each group is drawn
Point = tuple[float, float]
NumberFormat = Callable[[float], str]


class Series(Struct, frozen=True):
    """A line, or bars that are stacked on those of the previous series.

    Attributes:
        name: its name in the legend.
        kind: the CSS class that colours it.
        points: pairs of numbers: horizontal, vertical.
        bars: whether the points are bars and not a line.
    """

    name: str
    kind: str
    points: Sequence[Point]
    bars: bool = False


def chart(
    title: str,
    series: Sequence[Series],
    x_format: NumberFormat,
    y_format: NumberFormat,
    x_marks: Sequence[float] | None = None,
) -> Markup:
    """The chart and its legend.

    Args:
        x_format, y_format: functions that format the numbers of the axis.
        x_marks: the numbers on the horizontal axis; by default round numbers.
    """
    thinned = [Series(one.name, one.kind, _thin(one.points), one.bars) for one in series]
    every = [point for one in thinned for point in one.points]
    low, high = min((x for x, _ in every), default=0.0), max((x for x, _ in every), default=1.0)
    high = high if high > low else low + 1
    edge = 0.5 * (high - low) / max(1, len(thinned[0].points) - 1) if thinned[0].bars else 0.0
    low, high = low - edge, high + edge  # half a bar on either side; a bar is as wide as the step
    top = max(_stacked(thinned), max((y for one in thinned if not one.bars for _, y in one.points), default=0.0)) or 1.0
    y_marks = _round_marks(0.0, top)
    frame = _Frame(low, high, max(top, y_marks[-1]))
    marks = [mark for mark in (x_marks or _round_marks(low, high)) if low - 1e-6 <= mark <= high + 1e-6]
    picture = element(
        "svg",
        element("title", title),
        *(_y_mark(frame, mark, y_format(mark)) for mark in y_marks),
        *(_x_mark(frame, mark, x_format(mark)) for mark in marks),
        *_drawn(frame, thinned),
        role="img", viewBox=f"0 0 {WIDTH} {HEIGHT}",
    )  # fmt: skip
    legend = (element("span", element("i", class_=one.kind), one.name) for one in thinned)
    return element("figure", element("figcaption", title), picture, element("p", *legend, class_="legend"))


class _Frame(Struct, frozen=True):
    low: float
    high: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - BOTTOM - TOP)


def _drawn(frame: _Frame, series: Sequence[Series]) -> list[Markup]:
    floors: dict[float, float] = {}
    return [_bars(frame, one, floors) if one.bars else _line(frame, one) for one in series]


def _line(frame: _Frame, one: Series) -> Markup:
    corners = "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in one.points)
    return element("path", d=f"M{corners}", class_=f"line {one.kind}") if corners else group()


def _bars(frame: _Frame, one: Series, floors: dict[float, float]) -> Markup:
    width = max(1.0, (WIDTH - LEFT - RIGHT) / max(1, len(one.points)) - 1)
    drawn = []
    for x, y in one.points:
        floor = floors.get(x, 0.0)
        floors[x] = floor + y
        if y:
            upper, lower = frame.y(floor + y), frame.y(floor)
            drawn.append(element("rect", x=f"{frame.x(x) - width / 2:.1f}", y=f"{upper:.1f}", width=f"{width:.1f}",
                                 height=f"{lower - upper:.1f}", class_=one.kind))  # fmt: skip
    return element("g", *drawn)


def _stacked(series: Sequence[Series]) -> float:
    sums: dict[float, float] = {}
    for one in series:
        if one.bars:
            for x, y in one.points:
                sums[x] = sums.get(x, 0.0) + y
    return max(sums.values(), default=0.0)


def _y_mark(frame: _Frame, mark: float, label: str) -> Markup:
    y = f"{frame.y(mark):.1f}"
    line = element("path", d=f"M{LEFT} {y}H{WIDTH - RIGHT}", class_="grid")
    return group(line, element("text", label, x=str(LEFT - 6), y=y, text_anchor="end", dominant_baseline="middle"))


def _x_mark(frame: _Frame, mark: float, label: str) -> Markup:
    x = f"{frame.x(mark):.1f}"
    line = element("path", d=f"M{x} {TOP}V{HEIGHT - BOTTOM}", class_="grid")
    return group(line, element("text", label, x=x, y=str(HEIGHT - BOTTOM + 16), text_anchor="middle"))


def _round_marks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to the first that is not below `high`."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.ceil(high / step - 1e-9) + 1)]


def _thin(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS points: the highest of each group of neighbours, so that no peak is lost."""
    size = math.ceil(len(points) / MOST_POINTS) or 1
    return [(points[at][0], max(y for _, y in points[at : at + size])) for at in range(0, len(points), size)]
