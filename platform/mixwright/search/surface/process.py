"""A Gaussian process over the searched keys, fitted to finished trials with the noise that each of them is known to have.

What comes in: places of trials (axes.py), their scores and the variances of those. What goes out: a `Surface`, which predicts mean
and standard deviation at any place, and draws whole surfaces that agree with the trials.

The model: a constant, a sum of smooth effects of one key each, and a smooth function of all keys together, each a Matérn 5/2 kernel
with a length scale an axis (Rasmussen & Williams 2006, chapters 2 and 5). A trial's noise is its bootstrap variance, which is
known, and that of its seed, which is learned. Length scales and amplitudes have weak priors; the surface is a mean over several
settings of them (a Laplace approximation around the most probable one, with importance weights), since with few trials any
one of them would be too sure of itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize
from scipy.special import ndtr

from mixwright.search.surface.axes import Axis, Floats, point_at, squared_distances

MOST_POINTS = 200
"""Beyond it, trials that are close to one another count as one: the cost grows with the cube of the points."""
_MEAN_VARIANCE = 1.0
"""Of the constant, in variances of the scores."""
_JITTER = 1e-8
_SPREAD_OF_LOG_LENGTH = 0.9
_SPREAD_OF_LOG_VARIANCE = 1.2
_SPREAD_OF_LOG_NOISE = 1.5
_SEED_NOISE = 0.01
"""Variance between seeds that is expected beside known noise, in variances of the scores; learned from there."""
_UNKNOWN_NOISE = 0.1
"""The same where no trial's noise is known."""
_BOUND = 5.0
"""Length scales and variances stay within this many prior deviations."""
_ROOT5 = math.sqrt(5.0)


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Trials as the surface sees them."""

    places: Floats
    values: Floats
    variances: Floats
    """Known variance of each value; NaN where it was not measured."""
    counts: Floats
    """Trials behind each row; a row of several has the mean of their values, and the variance of that."""

    def __len__(self) -> int:
        return len(self.values)


def observations(
    places: Floats, values: Sequence[float] | Floats, variances: Sequence[float] | Floats | None = None
) -> Observations:
    """Observations of a trial each."""
    known = np.full(len(values), np.nan) if variances is None else np.asarray(variances, dtype=float)
    return Observations(
        places=np.asarray(places, dtype=float), values=np.asarray(values, dtype=float), variances=known, counts=np.ones(len(values))
    )


def gathered(axes: Sequence[Axis], seen: Observations, most: int = MOST_POINTS) -> Observations:
    """At most `most` rows: each trial joins the nearest of so many centres that lie as far apart as they can.

    Nothing is thrown away: a row is the mean of its trials, at their mean place, and as sure as they are together. Trials of
    different categories never meet, unless there are more kinds of them than rows.
    """
    if len(seen) <= most:
        return seen
    nearest, distance = np.zeros(len(seen), dtype=int), np.full(len(seen), np.inf)
    centre = int(np.argmax(seen.values))
    for index in range(most):
        apart = squared_distances(axes, seen.places, seen.places[[centre]]).sum(axis=0)[:, 0]
        closer = apart < distance
        nearest[closer], distance[closer] = index, apart[closer]
        centre = int(np.argmax(distance))
        if distance[centre] == 0:
            break
    members = [np.flatnonzero(nearest == index) for index in np.unique(nearest)]
    return Observations(
        places=np.array([_middle(axes, seen.places[rows]) for rows in members]),
        values=np.array([seen.values[rows].mean() for rows in members]),
        variances=np.array([seen.variances[rows].sum() / len(rows) ** 2 for rows in members]),
        counts=np.array([float(seen.counts[rows].sum()) for rows in members]),
    )


def _middle(axes: Sequence[Axis], places: Floats) -> Floats:
    """Mean place of numbers, first one of categories; a key that some lack is lacking."""
    return np.array([places[0, i] if axis.kind == "category" else places[:, i].mean() for i, axis in enumerate(axes)])


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What the fit maximises: trials in units of their own spread, and their distances."""

    distances: Floats
    values: Floats
    known: Floats
    """Known variance of each row."""
    counts: Floats
    centre: Floats
    """Prior means of the logs of length scales, of the two variances and of the seed's noise."""
    spread: Floats


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """One setting of length scales and variances, and what follows from it for the trials."""

    weight: float
    log: Floats
    factor: Floats
    """Cholesky factor of the trials' covariance, lower."""
    alpha: Floats
    seed_variance: float


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The fitted process. Values are in the units of the scores that it was fitted to."""

    axes: tuple[Axis, ...]
    seen: Observations
    level: float
    unit: float
    """Mean and spread of the scores."""
    settings: tuple[_Setting, ...]
    row_variance: float
    """Known variance of one trial (the median), in squared units; 0 where none is known."""
    active: Callable[[Mapping[str, Any]], Collection[str]] | None = None
    """Of a point with all keys, those that it has; None: all."""

    def had(self, places: Floats) -> Floats:
        """The same places without the keys that they do not have."""
        if self.active is None:
            return places
        keys = [axis.key for axis in self.axes]
        active = [self.active(point_at(self.axes, place)) for place in places]
        return np.where([[key in names for key in keys] for names in active], places, np.nan)

    @property
    def tried(self) -> Floats:
        """Places of the trials, with a value for each key that they do not have."""
        fill = np.array([0.0 if axis.kind == "category" else float(axis.snap(np.array([0.5]))[0]) for axis in self.axes])
        return np.where(np.isnan(self.seen.places), fill, self.seen.places)

    @property
    def noise(self) -> float:
        """Standard deviation of one more trial's score around the surface: its rows and its seed."""
        seeds = sum(item.weight * item.seed_variance for item in self.settings) * self.unit**2
        return math.sqrt(self.row_variance + seeds)

    @property
    def seed_noise(self) -> float:
        """Of that, what is not the choice of rows."""
        return math.sqrt(sum(item.weight * item.seed_variance for item in self.settings)) * self.unit

    @property
    def weights(self) -> Floats:
        return np.array([item.weight for item in self.settings])

    def each(self, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation under each setting, [setting, place]."""
        far = squared_distances(self.axes, self.seen.places, self.had(places))
        found = [self._moments(item, far) for item in self.settings]
        return np.stack([mean for mean, _ in found]), np.stack([sd for _, sd in found])

    def moments(self, places: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the surface, without the noise of a trial."""
        mean, sd = self.each(places)
        weights = self.weights[:, None]
        middle = (weights * mean).sum(axis=0)
        spread = (weights * (sd**2 + (mean - middle) ** 2)).sum(axis=0)
        return middle, np.sqrt(spread)

    def mean(self, places: Floats) -> Floats:
        far = squared_distances(self.axes, self.seen.places, self.had(places))
        middle = sum(item.weight * (kernel(far, item.log).T @ item.alpha) for item in self.settings)
        return np.asarray(self.level + self.unit * middle)

    def joint(self, places: Floats, index: int) -> tuple[Floats, Floats]:
        """Mean and covariance of several places under one setting."""
        item, places = self.settings[index], self.had(places)
        cross = kernel(squared_distances(self.axes, self.seen.places, places), item.log)
        solved = linalg.solve_triangular(item.factor, cross, lower=True, check_finite=False)
        prior = kernel(squared_distances(self.axes, places, places), item.log)
        return self.level + self.unit * (cross.T @ item.alpha), self.unit**2 * (prior - solved.T @ solved)

    def draws(self, places: Floats, count: int, rng: np.random.Generator) -> Floats:
        """So many surfaces that agree with the trials, at the places, [draw, place]."""
        shares = rng.multinomial(count, self.weights / self.weights.sum())
        found = []
        for index, share in enumerate(shares):
            if share:
                mean, covariance = self.joint(places, index)
                root = _root(covariance)
                found.append(mean + rng.standard_normal((share, len(places))) @ root.T)
        drawn = np.concatenate(found)
        rng.shuffle(drawn)
        return drawn

    def above(self, places: Floats, reference: Floats, margin: float) -> Floats:
        """Probability that each place scores no more than `margin` below the place `reference`."""
        probability = np.zeros(len(places))
        for item, mean, sd in self._contrasts(places, reference):
            probability += item.weight * ndtr((mean + margin) / np.maximum(sd, 1e-12))
        return probability

    def as_good(self, places: Floats, rivals: Floats, margin: float, draws: int = 160) -> Floats:
        """Probability that each place scores no more than `margin` below the best of all rivals, whichever that is."""
        rng = np.random.default_rng(0)  # the same draws at every call, so that neighbouring questions get like answers
        both, chances = np.vstack([rivals, places]), np.zeros(len(places))
        for index, item in enumerate(self.settings):
            mean, covariance = self.joint(both, index)
            drawn = mean + rng.standard_normal((draws, len(both))) @ _root(covariance).T
            best = drawn[:, : len(rivals)].max(axis=1, keepdims=True)
            chances += item.weight * (drawn[:, len(rivals) :] >= best - margin).mean(axis=0)
        return chances

    def doubts(self, places: Floats, reference: Floats) -> Floats:
        """Standard deviation of each place's score minus that of the place `reference`, length scales taken for known."""
        variances = (item.weight * sd**2 for item, _, sd in self._contrasts(places, reference))
        return np.asarray(np.sqrt(sum(variances)))

    def contrast(self, places: Floats, reference: Floats) -> tuple[float, float]:
        """Mean and standard deviation of (mean over the places) minus the reference place."""
        mean, square = 0.0, 0.0
        for index, item in enumerate(self.settings):
            level, covariance = self.joint(np.vstack([places, reference[None, :]]), index)
            weights = np.append(np.full(len(places), 1.0 / len(places)), -1.0)
            found = float(weights @ level)
            mean += item.weight * found
            square += item.weight * (max(0.0, float(weights @ covariance @ weights)) + found**2)
        return mean, math.sqrt(max(0.0, square - mean**2))

    def expecting(self, places: Floats, rng: np.random.Generator | None) -> Surface:
        """The same with trials that are still running: under each setting, each has a score that it may well come back with.

        Args:
            places: where they are, without the keys that they do not have.
            rng: draws those scores; None: each comes back as predicted, so that the mean stays what it is.
        """
        variances, counts = np.full(len(places), self.row_variance), np.ones(len(places))
        seen = Observations(
            places=np.vstack([self.seen.places, places]),
            values=np.append(self.seen.values, np.full(len(places), np.nan)),
            variances=np.append(self.seen.variances, variances),
            counts=np.append(self.seen.counts, counts),
        )
        far = squared_distances(self.axes, self.seen.places, places)
        near = squared_distances(self.axes, places, places)
        return dataclasses.replace(self, seen=seen, settings=tuple(self._extended(item, far, near, rng) for item in self.settings))

    def _extended(self, item: _Setting, far: Floats, near: Floats, rng: np.random.Generator | None) -> _Setting:
        """A setting whose factor has rows for running trials; their scores are drawn from what it expects of them."""
        cross = kernel(far, item.log)
        solved = linalg.solve_triangular(item.factor, cross, lower=True, check_finite=False)
        covariance = kernel(near, item.log) - solved.T @ solved
        covariance[np.diag_indices(len(covariance))] += self.row_variance / self.unit**2 + item.seed_variance + _JITTER
        corner = _root(covariance)
        surprises = np.zeros(len(corner)) if rng is None else rng.standard_normal(len(corner))
        whitened = np.append(item.factor.T @ item.alpha, surprises)
        factor = np.block([[item.factor, np.zeros((len(item.factor), len(corner)))], [solved.T, corner]])
        alpha = linalg.solve_triangular(factor, whitened, lower=True, trans="T", check_finite=False)
        return dataclasses.replace(item, factor=factor, alpha=alpha)

    def _contrasts(self, places: Floats, reference: Floats) -> list[tuple[_Setting, Floats, Floats]]:
        """Under each setting, mean and deviation of every place minus the reference."""
        both = self.had(np.vstack([places, reference[None, :]]))
        far = squared_distances(self.axes, self.seen.places, both)
        near = squared_distances(self.axes, both[:-1], both[-1:])
        found = []
        for item in self.settings:
            cross = kernel(far, item.log)
            solved = linalg.solve_triangular(item.factor, cross, lower=True, check_finite=False)
            mean = self.unit * (cross.T @ item.alpha)
            variance = total_variance(item.log) - (solved**2).sum(axis=0)
            covariance = kernel(near, item.log)[:, 0] - solved[:, :-1].T @ solved[:, -1]
            spread = np.maximum(0.0, variance[:-1] + variance[-1] - 2 * covariance)
            found.append((item, mean[:-1] - mean[-1], self.unit * np.sqrt(spread)))
        return found

    def _moments(self, item: _Setting, far: Floats) -> tuple[Floats, Floats]:
        cross = kernel(far, item.log)
        solved = linalg.solve_triangular(item.factor, cross, lower=True, check_finite=False)
        variance = np.maximum(1e-12, total_variance(item.log) - (solved**2).sum(axis=0))
        return self.level + self.unit * (cross.T @ item.alpha), self.unit * np.sqrt(variance)


def fit(
    axes: Sequence[Axis],
    seen: Observations,
    *,
    settings: int = 8,
    start: Sequence[Floats] = (),
    seed: int = 0,
    refit: bool = True,
    active: Callable[[Mapping[str, Any]], Collection[str]] | None = None,
) -> Surface:
    """The surface of some trials, at least one.

    Args:
        settings: how many settings of length scales and variances it is a mean over; 1 takes the most probable alone.
        start: logs of settings to begin from, such as those of the surface of the trials before.
        refit: False takes `start` as it is, which is quicker where few trials have come since.
        active: of a point with all keys, those that it has; None: all.
    """
    seen = gathered(axes, seen)
    level, unit = float(seen.values.mean()), float(seen.values.std())
    unit = unit if unit > 1e-12 else 1.0
    known = seen.variances
    row_variance = float(np.nanmedian(known * seen.counts)) if np.isfinite(known).any() else 0.0
    filled = np.where(np.isfinite(known), known, row_variance / seen.counts)
    problem = _Problem(
        distances=squared_distances(axes, seen.places, seen.places),
        values=(seen.values - level) / unit,
        known=filled / unit**2,
        counts=seen.counts,
        **_priors(len(axes), is_noise_known=row_variance > 0),
    )
    if refit or not start:
        best = _most_probable(problem, start, seed)
        logs, weights = _around(problem, best, settings, seed)
    else:
        logs, weights = list(start), np.full(len(start), 1.0 / len(start))
    return Surface(
        axes=tuple(axes),
        seen=seen,
        level=level,
        unit=unit,
        settings=tuple(_settle(problem, log, float(weight)) for log, weight in zip(logs, weights, strict=True)),
        row_variance=row_variance,
        active=active,
    )


def _priors(axes: int, *, is_noise_known: bool) -> dict[str, Floats]:
    """Weak ones: an effect that bends about once over its axis, more slowly where many keys share the work."""
    length = math.log(0.6 * math.sqrt(max(axes, 1)))
    noise = math.log(_SEED_NOISE if is_noise_known else _UNKNOWN_NOISE)
    return {
        "centre": np.array([length] * axes + [math.log(0.5), math.log(1.0), noise]),
        "spread": np.array(
            [_SPREAD_OF_LOG_LENGTH] * axes + [_SPREAD_OF_LOG_VARIANCE, _SPREAD_OF_LOG_VARIANCE, _SPREAD_OF_LOG_NOISE]
        ),
    }


def _matern(squared: Floats) -> tuple[Floats, Floats]:
    """Matérn 5/2 of squared distances, and its derivative by them."""
    scaled = _ROOT5 * np.sqrt(squared)
    decay = np.exp(-scaled)
    return (1.0 + scaled + scaled**2 / 3.0) * decay, -(5.0 / 6.0) * (1.0 + scaled) * decay


def kernel(far: Floats, log: Floats) -> Floats:
    """Covariance of two sets of places, in variances of the scores."""
    axes = len(far)
    scaled = far * np.exp(-2.0 * log[:axes])[:, None, None]
    alone, together = math.exp(log[axes]), math.exp(log[axes + 1])
    found: Floats = _MEAN_VARIANCE + together * _matern(scaled.sum(axis=0))[0]
    if axes:
        found += alone / axes * _matern(scaled)[0].sum(axis=0)
    return found


def total_variance(log: Floats) -> float:
    """Of a place before any trial, in variances of the scores."""
    return _MEAN_VARIANCE + math.exp(log[-3]) + math.exp(log[-2])


def _noise(problem: _Problem, log: Floats) -> Floats:
    return problem.known + math.exp(log[-1]) / problem.counts + _JITTER


def _loss(log: Floats, problem: _Problem) -> tuple[float, Floats]:
    """Minus the log of the posterior density of a setting, and its gradient."""
    axes, count = len(problem.distances), len(problem.values)
    scaled = problem.distances * np.exp(-2.0 * log[:axes])[:, None, None]
    joint, joint_slope = _matern(scaled.sum(axis=0))
    single, single_slope = _matern(scaled)
    alone, together = math.exp(log[axes]) / max(axes, 1), math.exp(log[axes + 1])
    effects = alone * single.sum(axis=0)
    covariance = _MEAN_VARIANCE + effects + together * joint
    covariance[np.diag_indices(count)] += _noise(problem, log)
    try:
        factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return 1e10, np.zeros_like(log)
    inverse = linalg.cho_solve((factor, True), np.eye(count), check_finite=False)
    alpha = inverse @ problem.values
    pull = np.outer(alpha, alpha) - inverse
    gradient = np.empty_like(log)
    for index in range(axes):
        slope = (alone * single_slope[index] + together * joint_slope) * (-2.0 * scaled[index])
        gradient[index] = -0.5 * float((pull * slope).sum())
    gradient[axes] = -0.5 * float((pull * effects).sum())
    gradient[axes + 1] = -0.5 * together * float((pull * joint).sum())
    gradient[axes + 2] = -0.5 * math.exp(log[-1]) * float((np.diagonal(pull) / problem.counts).sum())
    away = (log - problem.centre) / problem.spread
    loss = 0.5 * float(problem.values @ alpha) + float(np.log(np.diagonal(factor)).sum()) + 0.5 * float(away @ away)
    return loss, gradient + away / problem.spread


def _most_probable(problem: _Problem, start: Sequence[Floats], seed: int, tries: int = 2) -> Floats:
    """The most probable setting, from the priors' middle, from `start`, and from random others where there is no start."""
    rng = np.random.default_rng(seed)
    others = [problem.centre + problem.spread * rng.standard_normal(len(problem.centre)) for _ in range(0 if start else tries)]
    bounds = list(zip(problem.centre - _BOUND * problem.spread, problem.centre + _BOUND * problem.spread, strict=True))
    found = [
        optimize.minimize(
            _loss, begin, args=(problem,), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60, "ftol": 1e-6}
        )
        for begin in [problem.centre, *start[:1], *others]
    ]
    best: Floats = min(found, key=lambda item: float(item.fun)).x
    return best


def _around(problem: _Problem, best: Floats, count: int, seed: int) -> tuple[list[Floats], Floats]:
    """Settings around the most probable one, spread as wide as the trials leave them open, and their weights."""
    if count == 1:
        return [best], np.ones(1)
    curvature = _curvature(problem, best)
    values, vectors = np.linalg.eigh(curvature)
    loosest = 0.5 / float(problem.spread.max()) ** 2
    deviations = 1.0 / np.sqrt(np.maximum(values, loosest))
    standard = np.random.default_rng(seed).standard_normal((count - 1, len(best)))
    moves = np.vstack([np.zeros(len(best)), standard])
    low, high = problem.centre - _BOUND * problem.spread, problem.centre + _BOUND * problem.spread
    logs = [np.clip(best + vectors @ (deviations * move), low, high) for move in moves]
    log_weights = np.array([-_loss(log, problem)[0] + 0.5 * float(move @ move) for log, move in zip(logs, moves, strict=True)])
    weights = np.exp(np.minimum(log_weights - np.median(log_weights), 1.5))
    weights /= weights.sum()
    kept = np.flatnonzero(weights > 1e-3)
    return [logs[index] for index in kept], weights[kept] / weights[kept].sum()


def _curvature(problem: _Problem, best: Floats, step: float = 0.05) -> Floats:
    """Second derivatives of the loss, by differences of its gradient."""
    rows = []
    for index in range(len(best)):
        move = np.zeros(len(best))
        move[index] = step
        rows.append((_loss(best + move, problem)[1] - _loss(best - move, problem)[1]) / (2 * step))
    matrix = np.array(rows)
    symmetric: Floats = (matrix + matrix.T) / 2
    return symmetric


def _settle(problem: _Problem, log: Floats, weight: float) -> _Setting:
    covariance = kernel(problem.distances, log)
    covariance[np.diag_indices(len(problem.values))] += _noise(problem, log)
    factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    alpha = linalg.cho_solve((factor, True), problem.values, check_finite=False)
    return _Setting(weight=weight, log=log, factor=factor, alpha=alpha, seed_variance=math.exp(log[-1]))


def _root(covariance: Floats) -> Floats:
    """A matrix whose square is the covariance; a little is added where rounding has left it without one."""
    size = len(covariance)
    scale = float(np.trace(covariance)) / size
    for power in range(-9, -2):
        try:
            root: Floats = linalg.cholesky(covariance + 10.0**power * scale * np.eye(size), lower=True, check_finite=False)
            return root
        except linalg.LinAlgError:
            continue
    values, vectors = np.linalg.eigh(covariance)
    spread: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return spread
