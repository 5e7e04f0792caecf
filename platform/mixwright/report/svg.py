"""SVG elements that escape what they hold, and axes with units.

What comes in: plain numbers and text. What goes out: `Markup` that a template can place as it is. Colours come from classes of
style.css, so that a figure follows the light or dark page that it stands on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup, escape

from mixwright.report import wording

ScaleKind = Literal["linear", "log2", "log10", "category"]
Place = Callable[[float], float]
"""From a value to a distance in the units of a viewBox."""


def element(name: str, /, *children: Markup | str, **attributes: str | float | None) -> Markup:
    """One element; `stroke_width` becomes `stroke-width`, `class_` becomes `class`, None is left out, text is escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items() if value is not None
    )
    inner = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>")


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def text(content: str, x: float, y: float, *, class_: str = "", anchor: str = "start") -> Markup:
    return element("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *children: Markup) -> Markup:
    """An open polyline."""
    steps = " ".join(f"{'M' if index == 0 else 'L'}{_plain(x)} {_plain(y)}" for index, (x, y) in enumerate(points))
    return element("path", *children, d=steps, class_=class_)


def figure(width: float, height: float, label: str, *children: Markup) -> Markup:
    """A whole picture; `label` is what a screen reader says in its place."""
    return element("svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, 0 to 1, and what is written there."""

    position: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From a value to a place on an axis, 0 to 1."""

    place: Callable[[Any], float]
    ticks: tuple[Tick, ...]


def scale(values: Sequence[Any], kind: ScaleKind, *, label: Callable[[Any], str] = str, pad: float = 0.0) -> Scale:
    """A scale over `values`; `pad` is the free share left at either end. One value, or none, is put in the middle."""
    if kind == "category":
        return _category_scale(values, label)
    ordered = sorted(value for value in values if math.isfinite(value))
    low, high = (ordered[0], ordered[-1]) if ordered else (0.0, 1.0)
    if kind == "linear":
        return _continuous(low, high, float, _linear_ticks(low, high), label, pad)
    forward = math.log2 if kind == "log2" else math.log10
    return _continuous(low, high, forward, _log_ticks(low, high, ordered, kind), label, pad)


def _continuous(
    low: float, high: float, forward: Callable[[float], float], ticks: Sequence[float], label: Callable[[Any], str], pad: float
) -> Scale:
    start, span = forward(low), forward(high) - forward(low)

    def place(value: float) -> float:
        return 0.5 if span == 0 else pad + (1 - 2 * pad) * (forward(value) - start) / span

    marks = (Tick(position=place(tick), label=label(tick)) for tick in ticks)
    return Scale(place=place, ticks=tuple(mark for mark in marks if -1e-6 <= mark.position <= 1 + 1e-6))


def _category_scale(values: Sequence[Any], label: Callable[[Any], str]) -> Scale:
    names = list(dict.fromkeys(str(value) for value in values))
    where = {name: (index + 0.5) / len(names) for index, name in enumerate(names)}
    return Scale(
        place=lambda value: where[str(value)], ticks=tuple(Tick(position=at, label=label(name)) for name, at in where.items())
    )


def _linear_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within the interval, a little beyond it too; at most `most` + 1 of them."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, values: Sequence[float], kind: ScaleKind) -> list[float]:
    distinct = sorted(set(values))
    if kind == "log2" or len(distinct) < 3 or high / low < 10:
        return distinct if len(distinct) <= 7 else distinct[:: math.ceil(len(distinct) / 7)]
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The drawing area of a panel, in the units of its viewBox."""

    width: float
    height: float
    x: Scale
    y: Scale
    left: float = 46.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 44.0

    def at(self, x: Any, y: Any) -> tuple[float, float]:
        return self.across(self.x.place(x)), self.up(self.y.place(y))

    def across(self, position: float) -> float:
        return self.left + position * (self.width - self.left - self.right)

    def up(self, position: float) -> float:
        return self.height - self.bottom - position * (self.height - self.top - self.bottom)


def axes(frame: Frame, x_label: str, y_label: str) -> Markup:
    """Grid lines, tick labels and the names of both axes; the y axis is named above, where it needs no turned text."""
    parts = [text(y_label, 0, 12, class_="axis-name")]
    for tick in frame.y.ticks:
        y = frame.up(tick.position)
        parts += [line(frame.left, y, frame.width - frame.right, y, "grid"), text(tick.label, frame.left - 8, y + 4, anchor="end")]
    for tick in frame.x.ticks:
        x = frame.across(tick.position)
        parts += [
            line(x, frame.top, x, frame.height - frame.bottom, "grid"),
            text(tick.label, x, frame.height - frame.bottom + 17, anchor="middle"),
        ]
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(text(x_label, middle, frame.height - 8, class_="axis-name", anchor="middle"))
    return Markup("").join(parts)


def tick_number(value: float) -> str:
    """A tick's label: no more digits than it needs."""
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 1e6 else wording.number(value, 0)
