"""Searched keys as axes of a unit cube, on which the surface measures how far two points are apart.

What comes in: Optuna's distributions by dotted name. What goes out: places, an array of a row a point and a column an axis. A
numeric axis runs from 0 to 1 (on a log scale where the key is searched that way, and where whole numbers or choices span a
factor of four, such as ranks); a category is the index of its choice; a key that a point does not have is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

Floats = NDArray[np.float64]

SEED_KEY = "train.seed"
"""Repeats a point instead of making another one, so it is no axis."""
_LOG_FROM = 4.0
"""Whole numbers and choices whose ends differ by this factor stand on a log scale: rank 4 to 8 is a step like 32 to 64."""
_MOST_LEVELS = 64
_ABSENT = 0.5
"""Where a point without the key stands on a numeric axis, one step aside of it."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One searched key."""

    key: str
    kind: Literal["number", "category"]
    is_log: bool = False
    low: float = 0.0
    high: float = 1.0
    step: float | None = None
    is_whole: bool = False
    choices: tuple[Any, ...] = ()
    """Of a category, and of a number that is chosen from a list, rising then."""

    def place(self, value: Any) -> float:
        """0 to 1 of a number, the index of a category; NaN where the point has no such key."""
        if value is None:
            return math.nan
        if self.kind == "category":
            return float(self.choices.index(value)) if value in self.choices else math.nan
        start, end = self._forward(self.low), self._forward(self.high)
        return 0.0 if end == start else (self._forward(float(value)) - start) / (end - start)

    def value(self, place: float) -> Any:
        """The allowed value that is nearest to a place."""
        if self.kind == "category":
            return self.choices[int(place)]
        if self.choices:
            return min(self.choices, key=lambda choice: abs(self.place(choice) - place))
        start, end = self._forward(self.low), self._forward(self.high)
        raw = start + min(max(place, 0.0), 1.0) * (end - start)
        number = math.exp(raw) if self.is_log else raw
        if self.step:
            number = self.low + round((number - self.low) / self.step) * self.step
        number = min(max(number, self.low), self.high)
        return round(number) if self.is_whole else number

    @property
    def levels(self) -> Floats | None:
        """All places that there are, rising; None where they are too many to tell from a continuum."""
        if self.kind == "category":
            return np.arange(len(self.choices), dtype=float)
        if self.choices:
            return np.array([self.place(choice) for choice in self.choices])
        if not self.step:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return np.array([self.place(self.low + index * self.step) for index in range(count)]) if count <= _MOST_LEVELS else None

    def grid(self, steps: int) -> Floats:
        """Places to look at along the axis: its levels, or so many at equal distances."""
        levels = self.levels
        return np.linspace(0.0, 1.0, steps) if levels is None else levels

    def spread(self, uniform: Floats) -> Floats:
        """Uniform numbers in [0, 1) to allowed places, each level as likely as the next."""
        levels = self.levels
        return uniform if levels is None else levels[np.minimum((uniform * len(levels)).astype(int), len(levels) - 1)]

    def snap(self, places: Floats) -> Floats:
        """The nearest allowed places."""
        levels = self.levels
        if levels is None:
            return np.clip(places, 0.0, 1.0)
        nearest: Floats = levels[np.abs(places[:, None] - levels[None, :]).argmin(axis=1)]
        return nearest

    def _forward(self, value: float) -> float:
        return math.log(value) if self.is_log else value


def axes_of(space: Mapping[str, BaseDistribution]) -> tuple[Axis, ...]:
    """One axis a key, by name; without the seed, and without keys that can take one value alone."""
    named = ((key, space[key]) for key in sorted(space) if key != SEED_KEY)
    return tuple(_axis(key, distribution) for key, distribution in named if not distribution.single())


def _axis(key: str, distribution: BaseDistribution) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        return _chosen(key, tuple(distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, whole = float(distribution.low), float(distribution.high), isinstance(distribution, IntDistribution)
    is_log = distribution.log or (whole and low > 0 and high / low >= _LOG_FROM)
    return Axis(key=key, kind="number", is_log=is_log, low=low, high=high, step=distribution.step, is_whole=whole)


def _chosen(key: str, choices: tuple[Any, ...]) -> Axis:
    if not all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices):
        return Axis(key=key, kind="category", choices=choices)
    rising = tuple(sorted(set(choices)))
    is_log = rising[0] > 0 and rising[-1] / rising[0] >= _LOG_FROM
    return Axis(key=key, kind="number", is_log=is_log, low=float(rising[0]), high=float(rising[-1]), choices=rising)


def places_of(axes: Sequence[Axis], points: Sequence[Mapping[str, Any]]) -> Floats:
    """One row a point."""
    return np.array([[axis.place(point.get(axis.key)) for axis in axes] for point in points], dtype=float).reshape(-1, len(axes))


def point_at(axes: Sequence[Axis], places: Floats) -> dict[str, Any]:
    """The searched values of one row of places; keys that it does not have are left out."""
    return {axis.key: axis.value(float(place)) for axis, place in zip(axes, places, strict=True) if not math.isnan(place)}


def spread_points(axes: Sequence[Axis], count: int, seed: int) -> Floats:
    """Points of a scrambled Sobol sequence, which fill the space more evenly than random ones."""
    sequence = qmc.Sobol(d=len(axes), rng=np.random.default_rng(seed))
    uniform = sequence.random_base2(max(0, math.ceil(math.log2(max(count, 1)))))[:count]
    return np.column_stack([axis.spread(uniform[:, index]) for index, axis in enumerate(axes)])


def neighbours(axes: Sequence[Axis], centre: Floats, count: int, radius: float, rng: np.random.Generator) -> Floats:
    """Points around one: numbers moved by about `radius`, discrete ones sometimes to a level nearby or another choice."""
    moved = np.repeat(centre[None, :], count, axis=0)
    for index, axis in enumerate(axes):
        if math.isnan(centre[index]):
            continue
        if axis.kind == "category":
            other = rng.integers(len(axis.choices), size=count).astype(float)
            moved[:, index] = np.where(rng.random(count) < radius, other, moved[:, index])
        else:
            levels = axis.levels
            reach = radius if levels is None else max(radius, 0.7 / max(1, len(levels) - 1))
            stirred = rng.random(count) < 0.7
            moved[:, index] = axis.snap(moved[:, index] + stirred * reach * rng.standard_normal(count))
    return moved


def squared_distances(axes: Sequence[Axis], left: Floats, right: Floats) -> Floats:
    """Squared distance along each axis, [axis, left, right]: 0 or 1 of categories (Hamming), of numbers the squared difference.

    Of two points of which one lacks the key: that to the middle of the axis, and 1 for the step aside of it.
    """
    parts = []
    for index, axis in enumerate(axes):
        one, other = left[:, index], right[:, index]
        lacks_one, lacks_other = np.isnan(one), np.isnan(other)
        apart = (lacks_one[:, None] != lacks_other[None, :]).astype(float)
        if axis.kind == "category":
            filled_one, filled_other = np.where(lacks_one, -1.0, one), np.where(lacks_other, -1.0, other)
            parts.append((filled_one[:, None] != filled_other[None, :]).astype(float))
        else:
            filled_one, filled_other = np.where(lacks_one, _ABSENT, one), np.where(lacks_other, _ABSENT, other)
            parts.append((filled_one[:, None] - filled_other[None, :]) ** 2 + apart)
    return np.stack(parts) if parts else np.zeros((0, len(left), len(right)))
