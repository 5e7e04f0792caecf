"""What one surface says: where its optimum lies, what is as good, which keys matter, and what would make it surer.

What comes in: a `Surface`. What goes out: records, with intervals that hold the truth with 90 % probability if the model does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixwright.records import Estimate, Importance, Location, NextTrial, Optimum, Region, SurfaceGrid
from mixwright.search.surface.axes import Axis, Floats, neighbours, point_at, spread_points
from mixwright.search.surface.learning import next_point, recommended
from mixwright.search.surface.process import Surface, fit

SURE = 0.9
"""Probability of intervals, and from which something is said to be so."""
Z = 1.645
"""Half of a 90 % interval, in standard deviations."""
_POWER_Z = 2.49
"""Standard deviations that a difference has to have to be seen with 80 % power on one side of a 90 % interval."""
_DRAWS = 1000
_POOL = 384
_STEPS = 21
"""Places along a continuous axis at which a region may end."""
_SLAB = 40
_RIVALS = 16
_MOST_TRIALS = 512


def optimum(surface: Surface, place: Floats | None = None, seed: int = 0) -> Optimum:
    """The recommended point, and where the highest score may be by draws of whole surfaces.

    Args:
        place: the recommended point; None: the highest mean.
    """
    rng = np.random.default_rng(seed)
    best = recommended(surface, seed) if place is None else place
    expected = estimate(surface, best)
    pool = np.vstack([best[None, :], spread_points(surface.axes, _POOL, seed), neighbours(surface.axes, best, 64, 0.1, rng)])
    drawn = surface.draws(pool, _DRAWS, rng)
    peaks, highest = pool[drawn.argmax(axis=1)], drawn.max(axis=1)
    return Optimum(
        params=_params(surface, best),
        value=expected.value,
        low=expected.low,
        high=expected.high,
        highest=float(np.quantile(highest, 0.95)),
        locations=tuple(_spread_along(axis, peaks[:, index]) for index, axis in enumerate(surface.axes)),
    )


def estimate(surface: Surface, place: Floats) -> Estimate:
    """The score of a point, freed from the noise of a trial."""
    mean, sd = surface.moments(place[None, :])
    return Estimate(value=float(mean[0]), low=float(mean[0] - Z * sd[0]), high=float(mean[0] + Z * sd[0]))


def _params(surface: Surface, place: Floats) -> dict[str, object]:
    return point_at(surface.axes, surface.had(place[None, :])[0])


def _spread_along(axis: Axis, places: Floats) -> Location:
    if axis.kind == "category":
        shares = {str(choice): float((places == index).mean()) for index, choice in enumerate(axis.choices)}
        return Location(key=axis.key, choices={choice: share for choice, share in shares.items() if share > 0})
    low, high = np.quantile(places, [0.05, 0.95], method="nearest")
    return interval(axis, float(low), float(high))


def interval(axis: Axis, low: float, high: float) -> Location:
    """A part of a numeric axis, in its own values."""
    at_low_end, at_high_end = low <= 1e-9, high >= 1 - 1e-9
    return Location(
        key=axis.key,
        low=axis.value(low),
        high=axis.value(high),
        is_whole=at_low_end and at_high_end,
        at_low_end=at_low_end,
        at_high_end=at_high_end,
    )


def best_tried(surface: Surface) -> Floats:
    """Of the points that were tried, that of the highest mean."""
    tried: Floats = surface.tried
    found: Floats = tried[int(np.argmax(surface.mean(tried)))]
    return found


def region(surface: Surface, place: Floats, margin: float, seed: int = 0) -> Region:
    """What is as good as the best point that was tried, but for `margin`; the box is grown around `place`."""
    rivals = _likely_best(surface)
    pool = spread_points(surface.axes, 512, seed)
    chances = surface.as_good(pool, rivals, margin)
    box = _grown_box(surface, place, rivals, margin, seed)
    return Region(
        margin=margin,
        locations=() if box is None else tuple(_side(axis, side) for axis, side in zip(surface.axes, box, strict=True)),
        share=float((chances >= SURE).mean()),
        worse_share=float((chances <= 1 - SURE).mean()),
    )


def _side(axis: Axis, side: Floats) -> Location:
    if axis.kind == "category":
        chosen = {str(axis.choices[int(index)]): 1.0 for index in side}
        return Location(key=axis.key, choices=chosen, is_whole=len(chosen) == len(axis.choices))
    return interval(axis, float(side.min()), float(side.max()))


def _likely_best(surface: Surface) -> Floats:
    """The points that were tried and may be the best of them."""
    tried: Floats = surface.tried
    mean, sd = surface.moments(tried)
    found: Floats = tried[np.argsort(mean + sd)[::-1][:_RIVALS]]
    return found


def _grown_box(surface: Surface, place: Floats, rivals: Floats, margin: float, seed: int) -> list[Floats] | None:
    """Places along each axis whose combinations are all as good; None where `place` itself is not known to be.

    The box is widened by one step at a time, each side in its turn, as long as the new slab is good throughout.
    """
    if surface.as_good(place[None, :], rivals, margin)[0] < SURE:
        return None
    rng = np.random.default_rng(seed)
    grids = [axis.grid(_STEPS) for axis in surface.axes]
    box = [np.array([place[index]]) for index in range(len(grids))]
    open_sides = [(index, step) for index in range(len(grids)) for step in (-1, 1)]
    while open_sides:
        still = []
        for index, step in open_sides:
            for value in _next_places(surface.axes[index], grids[index], box[index], step):
                slab = _slab(box, index, value, rng)
                if (surface.as_good(slab, rivals, margin) >= SURE).all():
                    box[index] = np.append(box[index], value)
                    still.append((index, step))
                    break
        open_sides = still
    return box


def _next_places(axis: Axis, grid: Floats, side: Floats, step: int) -> Floats:
    """The places that a side may grow to: for a category any other choice, for a number the next one in its direction."""
    if axis.kind == "category":
        return np.array([value for value in grid if value not in side]) if step > 0 else np.empty(0)
    beyond = grid[grid > side.max() + 1e-9][:1] if step > 0 else grid[grid < side.min() - 1e-9][-1:]
    return np.asarray(beyond)


def _slab(box: Sequence[Floats], index: int, value: float, rng: np.random.Generator) -> Floats:
    """Combinations of the box's places with one axis held at a new one."""
    columns = [np.full(_SLAB, value) if other == index else rng.choice(side, _SLAB) for other, side in enumerate(box)]
    return np.unique(np.column_stack(columns), axis=0)


def importances(surface: Surface, seed: int = 0) -> tuple[Importance, ...]:
    """Total Sobol indices by Jansen's estimator (1999), over surfaces that agree with the trials; the greatest first.

    Where the trials say little of a key, the draws differ, and its interval is wide.
    """
    rng = np.random.default_rng(seed)
    axes = len(surface.axes)
    size = max(24, min(128, 1000 // (axes + 1)))
    both = spread_points((*surface.axes, *surface.axes), size, seed)
    first, second = both[:, :axes], both[:, axes:]
    mixed = []
    for index in range(axes):
        swapped = first.copy()
        swapped[:, index] = second[:, index]
        mixed.append(swapped)
    drawn = surface.draws(np.vstack([first, *mixed]), 200, rng).reshape(200, axes + 1, size)
    variance = drawn.reshape(200, -1).var(axis=1) + 1e-300
    shares = ((drawn[:, :1] - drawn[:, 1:]) ** 2).mean(axis=2) / (2 * variance[:, None])
    shares = np.minimum(shares, 1.0)
    low, high = np.quantile(shares, [0.05, 0.95], axis=0)
    found = [
        Importance(key=axis.key, share=float(shares[:, i].mean()), low=float(low[i]), high=float(high[i]))
        for i, axis in enumerate(surface.axes)
    ]
    return tuple(sorted(found, key=lambda item: -item.share))


def next_trial(surface: Surface, seed: int = 0) -> NextTrial:
    """Where one more trial would teach most."""
    found = next_point(surface, np.random.default_rng(seed), candidates=512)
    return NextTrial(params=_params(surface, found.place), gain=max(0.0, found.gain))


def grid(surface: Surface, place: Floats, keys: Sequence[str], steps: int = 25) -> SurfaceGrid | None:
    """The surface over one or two numeric keys, around `place`; None without such a key."""
    shown = [(i, axis) for key in keys for i, axis in enumerate(surface.axes) if axis.key == key and axis.kind == "number"][:2]
    if not shown:
        return None
    (x_index, x_axis), y = shown[0], shown[1] if len(shown) > 1 else None
    across = x_axis.grid(steps)
    up = y[1].grid(steps) if y else np.zeros(1)
    places = np.repeat(place[None, :], len(across) * len(up), axis=0)
    places[:, x_index] = np.tile(across, len(up))
    if y:
        places[:, y[0]] = np.repeat(up, len(across))
    mean, sd = surface.moments(places)
    return SurfaceGrid(
        x_key=x_axis.key,
        x=tuple(x_axis.value(float(value)) for value in across),
        y_key=y[1].key if y else "",
        y=tuple(y[1].value(float(value)) for value in up) if y else (),
        mean=_table(mean, len(up)),
        deviation=_table(sd, len(up)),
    )


def _table(values: Floats, rows: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(value), 4) for value in row) for row in values.reshape(rows, -1))


@dataclass(frozen=True, kw_only=True)
class Change:
    """How far an objective lies below or above the reference along a part of one axis, the others held."""

    location: Location
    value: float
    """Mean over the part, minus the reference."""
    half_width: float
    """Of its 90 % interval."""


def changes(surface: Surface, reference: Floats, margin: float) -> tuple[Change, ...]:
    """The ends of each axis, and the choices of each category, that surely differ from the reference, by `margin` on average."""
    found = []
    for index, axis in enumerate(surface.axes):
        for part in _categories(axis, reference[index]) if axis.kind == "category" else _ends(surface, reference, index):
            places = np.repeat(reference[None, :], len(part), axis=0)
            places[:, index] = part
            value, sd = surface.contrast(places, reference)
            if abs(value) >= max(margin, Z * sd):
                found.append(Change(location=_side(axis, part), value=value, half_width=Z * sd))
    return tuple(found)


def _categories(axis: Axis, present: float) -> list[Floats]:
    return [np.array([float(index)]) for index in range(len(axis.choices)) if index != present]


def _ends(surface: Surface, reference: Floats, index: int) -> list[Floats]:
    """From either end of a numeric axis, the places in a row that surely lie on one side of the reference."""
    steps = surface.axes[index].grid(_STEPS)
    places = np.repeat(reference[None, :], len(steps), axis=0)
    places[:, index] = steps
    chance = surface.above(places, reference, 0.0)
    sides = np.where(chance <= 0.05, -1, np.where(chance >= 0.95, 1, 0))
    sides[np.abs(steps - reference[index]) < 1e-9] = 0
    runs = []
    for order in (slice(None), slice(None, None, -1)):
        in_order, kinds = steps[order], sides[order]
        differing = np.flatnonzero(kinds != kinds[0])
        length = differing[0] if len(differing) else len(kinds)
        if kinds[0] != 0 and length < len(kinds):
            runs.append(np.sort(in_order[:length]))
    return runs


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What would let the trials show a difference of the margin between the best point and a usual one."""

    trials: int | None
    """More of them, spread over the space; None: more than `_MOST_TRIALS`."""
    rows_factor: float | None
    """Times as many evaluation rows in the trials that there are; None: no number of rows is enough."""


def wanted(surface: Surface, margin: float, seed: int = 0) -> Wanted:
    """Found by taking the trials for run: how sure a surface is does not hang on the scores that they come back with."""
    reference, pool = best_tried(surface), spread_points(surface.axes, 128, seed)
    enough = margin / _POWER_Z

    def is_enough(other: Surface) -> bool:
        return float(np.median(other.doubts(pool, reference))) <= enough

    return Wanted(trials=_trials_wanted(surface, is_enough, seed), rows_factor=_rows_wanted(surface, is_enough))


def _trials_wanted(surface: Surface, is_enough: Callable[[Surface], bool], seed: int) -> int | None:
    count = max(4, len(surface.seen) // 2)
    while count <= _MOST_TRIALS:
        # The mean of what they would come back with is what is predicted now: only how sure it is changes.
        if is_enough(surface.expecting(spread_points(surface.axes, count, seed + 1), None)):
            return count
        count *= 2
    return None


def _rows_wanted(surface: Surface, is_enough: Callable[[Surface], bool]) -> float | None:
    if surface.row_variance == 0:
        return None
    logs = [item.log for item in surface.settings]
    for factor in (2.0, 4.0, 8.0, 16.0):
        seen = dataclasses.replace(surface.seen, variances=surface.seen.variances / factor)
        if is_enough(fit(surface.axes, seen, start=logs, refit=False, active=surface.active)):
            return factor
    return None
