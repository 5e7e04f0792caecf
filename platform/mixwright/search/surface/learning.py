"""Where one more trial would teach most, and which point a surface recommends.

What comes in: a `Surface`. What goes out: points. A trial is worth what it is expected to add to the score of the point that would
be recommended after it (the knowledge gradient, Frazier et al. 2009), so that a noisy trial far from the peak can be worth more
than one upon it. The expectation is exact over the points that are looked at, but for its sum over the trial's outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import ndtr

from mixwright.search.surface.axes import Floats, neighbours, spread_points, squared_distances
from mixwright.search.surface.process import Surface, kernel, total_variance

_OUTCOMES = np.linspace(-3.5, 3.5, 15)
_CHANCES = np.exp(-(_OUTCOMES**2) / 2) / np.exp(-(_OUTCOMES**2) / 2).sum()
_TARGETS = 64
_CANDIDATES = 192
_RADII = (0.15, 0.05, 0.02)


@dataclass(frozen=True, kw_only=True)
class NextPoint:
    """A point to try, and what its trial is expected to add to the recommended point's score."""

    place: Floats
    gain: float


def recommended(surface: Surface, seed: int = 0, candidates: int = 1024) -> Floats:
    """The place of the highest mean."""
    rng = np.random.default_rng(seed)
    best = _highest(surface, np.vstack([spread_points(surface.axes, candidates, seed), surface.tried]))
    for radius in (*_RADII, 0.01):
        best = _highest(surface, np.vstack([best[None, :], neighbours(surface.axes, best, 64, radius, rng)]))
    return best


def _highest(surface: Surface, places: Floats) -> Floats:
    found: Floats = places[int(np.argmax(surface.mean(places)))]
    return found


def next_point(
    surface: Surface, rng: np.random.Generator, candidates: int = _CANDIDATES, limits: Sequence[Surface] = ()
) -> NextPoint:
    """The point whose trial would teach most of where the highest score is.

    Args:
        limits: surfaces that are to be 0 or below. A gain counts by the chance that it can be had: only points that are likely to
            keep them can come to be recommended.
    """
    axes = surface.axes
    spread = spread_points(axes, candidates, int(rng.integers(2**31)))
    tried = surface.tried
    pool = np.vstack([spread, tried])
    means = surface.mean(pool)
    top = pool[np.argsort(means)[::-1][:3]]
    around = np.vstack([neighbours(axes, place, 16, radius, rng) for place in top for radius in _RADII[:2]])
    pool = np.vstack([spread, around, top])
    likely = np.vstack([pool, tried])
    kept = keeping(limits, likely)
    targets = _targets(surface, likely[kept >= 0.5 * kept.max()])
    gains = keeping(limits, pool) * expected_gains(surface, pool, targets)
    closer = neighbours(axes, pool[int(np.argmax(gains))], 32, _RADII[1], rng)
    gains = np.append(gains, keeping(limits, closer) * expected_gains(surface, closer, targets))
    pool = np.vstack([pool, closer])
    best = int(np.argmax(gains))
    return NextPoint(place=pool[best], gain=float(gains[best]))


def keeping(limits: Sequence[Surface], places: Floats) -> Floats:
    """Probability that each place keeps all limits."""
    chance = np.ones(len(places))
    for limit in limits:
        mean, sd = limit.moments(places)
        chance *= ndtr(-mean / sd)
    return chance


def _targets(surface: Surface, pool: Floats) -> Floats:
    """Points that may come to be recommended: half by their mean, half by mean and doubt together."""
    mean, sd = surface.moments(pool)
    by_mean, by_hope = np.argsort(mean)[::-1][: _TARGETS // 2], np.argsort(mean + 1.5 * sd)[::-1][: _TARGETS // 2]
    found: Floats = pool[np.unique(np.concatenate([by_mean, by_hope]))]
    return found


def expected_gains(surface: Surface, places: Floats, targets: Floats) -> Floats:
    """What a trial at each place is expected to add to the best mean among the targets, in units of the score."""
    places, targets = surface.had(places), surface.had(targets)
    far_places = squared_distances(surface.axes, surface.seen.places, places)
    far_targets = squared_distances(surface.axes, surface.seen.places, targets)
    between = squared_distances(surface.axes, targets, places)
    gains = np.zeros(len(places))
    for item in surface.settings:
        cross_places, cross_targets = kernel(far_places, item.log), kernel(far_targets, item.log)
        solved_places = linalg.solve_triangular(item.factor, cross_places, lower=True, check_finite=False)
        solved_targets = linalg.solve_triangular(item.factor, cross_targets, lower=True, check_finite=False)
        variance = np.maximum(1e-12, total_variance(item.log) - (solved_places**2).sum(axis=0))
        covariance = kernel(between, item.log) - solved_targets.T @ solved_places
        spread = np.sqrt(variance + surface.row_variance / surface.unit**2 + item.seed_variance)
        mean_places, mean_targets = cross_places.T @ item.alpha, cross_targets.T @ item.alpha
        own = (mean_places, variance / spread)
        gains += item.weight * _gain(mean_targets, covariance / spread, own)
    return np.asarray(surface.unit * gains)


def _gain(means: Floats, moves: Floats, own: tuple[Floats, Floats]) -> Floats:
    """Expected maximum over targets after a trial, minus that before; `moves` is [target, place], `own` the place itself."""
    before = np.maximum(means.max(), own[0])
    after = np.zeros(moves.shape[1])
    for outcome, chance in zip(_OUTCOMES, _CHANCES, strict=True):
        best = (means[:, None] + outcome * moves).max(axis=0)
        after += chance * np.maximum(best, own[0] + outcome * own[1])
    # Where no outcome that is looked at changes the choice, doubt breaks the tie.
    return np.asarray(after - before + 1e-6 * own[1])
