"""How many trials does a search need until the point that it recommends comes within 1 % of the best, and stays there?

    python benchmarks/search.py [--quick] [--rounds N] [--json]

cost_ratio_to_random            Trials that random search needs, by those that `sampler: surface` needs: the ratio of medians over
                                rounds. Random search recommends the best trial that it has seen, as it does where it is used.
cost_ratio_to_gp, _to_tpe       The same of Optuna's GPSampler and TPESampler, with their defaults.
cost_ratio_to_NAME_same_rule    The same where the rival's trials go through our surface, which then recommends for it. What is left
                                is the choice of trials alone.
cost_ratio_to_NAME_mean         The ratio of (censored) means instead of medians.
trials_NAME                     Median of the trials needed.
censored_NAME                   Share of the rounds in which the point was not within 1 % when the trials ran out; they count as
                                needing all of them, so a ratio is too small where the rival is censored more often than ours.

A point is judged by its true score without noise; the best is that of the whole space. Objectives are made up, in the shape of a
sweep's: generic_fraction with its peak inside, LoRA rank with a plateau, the learning rate with a peak, a template of three, on a
scale where the best is near 50 points. Each round draws location, scale and strength of everything anew. Families `bowl` and
`ridge` were looked at while the sampler was written; the figures are those of `collapse`, which was not. With `--json` the others'
stand behind them, named `bowl cost_ratio_to_random` and so on.

Noise: 1.15 points, independent from trial to trial. A sweep with 6 dev rows a task measured 3.5 to 5.1 points by bootstrap (its
median, 3.75, is 1.15 at 64 rows a task). Samplers of ours are told it, as a sweep tells it to them; Optuna's have no place for it.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from common import arguments, load
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mixwright import environment
from mixwright.search.surface.axes import axes_of, places_of, point_at
from mixwright.search.surface.learning import recommended
from mixwright.search.surface.process import fit, observations
from mixwright.search.surface.sampler import STANDARD_ERRORS, SurfaceSampler

NOISE = 1.15
WITHIN = 0.01
TRIALS = 80
QUICK_TRIALS = 60
FRACTION, RANK, RATE, TEMPLATE = "mixture.generic_fraction", "lora.rank", "train.learning_rate", "prompt.template"
RANKS = (2, 4, 8, 16, 32, 64)
TEMPLATES = ("alpaca", "chat", "plain")
SPACE: dict[str, BaseDistribution] = {
    FRACTION: FloatDistribution(0.0, 1.0),
    RANK: CategoricalDistribution(RANKS),
    RATE: FloatDistribution(1e-5, 1e-2, log=True),
    TEMPLATE: CategoricalDistribution(TEMPLATES),
}
OURS, RIVALS = "surface", ("random", "tpe", "gp")
HELD_OUT = "collapse"

Score = Callable[[Any, Any, Any, Any], Any]
"""Generic fraction, log2 of the rank, learning rate on its axis (0 to 1), index of the template -> points."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one method needed in one round."""

    family: str
    round: int
    method: str
    rule: str
    """own: the method's recommendation as it comes; surface: that of our surface, fitted to its trials."""
    trials: int
    """All of them where it was censored."""
    censored: bool
    last_regret: float
    """Points that the last recommendation lies below the best."""


def bowl(rng: np.random.Generator) -> Score:
    """A peak in ratio and rate, a plateau in rank, an offset a template."""
    peak, rate, width, rate_width = rng.uniform(0.15, 0.75), rng.uniform(0.3, 0.75), rng.uniform(8, 30), rng.uniform(15, 50)
    loss, knee, offsets = rng.uniform(2, 6), rng.uniform(1, 6), -np.sort(rng.exponential(1.5, 3))
    offsets = rng.permutation(offsets - offsets.max())
    return lambda g, r, x, t: (
        50 - width * (g - peak) ** 2 - rate_width * (x - rate) ** 2 - loss * np.exp(-(2**r) / 2**knee) + offsets[t]
    )


def ridge(rng: np.random.Generator) -> Score:
    """As bowl, but the best rate falls with the rank, and the ratio's two sides fall at different speeds."""
    peak, rate, tilt = rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.8), rng.uniform(0.0, 0.06)
    left, right, rate_width = rng.uniform(1.5, 4), rng.uniform(1.5, 4), rng.uniform(0.15, 0.35)
    depth, height, loss, knee = rng.uniform(4, 10), rng.uniform(5, 12), rng.uniform(1, 5), rng.uniform(0.3, 1.0)
    offsets = rng.permutation([0.0, -rng.uniform(0, 2), -rng.uniform(0, 5)])

    def score(g: Any, r: Any, x: Any, t: Any) -> Any:
        side = np.where(g < peak, left, right)
        of_rate = height * (1 - np.exp(-(((x - (rate - tilt * (r - 3))) / rate_width) ** 2) / 2))
        return 50 - depth * (1 - np.exp(-((side * (g - peak)) ** 2))) - of_rate - loss * np.exp(-knee * (r - 1)) + offsets[t]

    return score


def collapse(rng: np.random.Generator) -> Score:
    """Gains multiply: the ratio's rises and falls like a beta density, the rate's climbs and collapses, the rank's saturates."""
    a, b = rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5)
    cliff, climb, steep = rng.uniform(0.6, 0.9), rng.uniform(0.15, 0.4), rng.uniform(0.04, 0.1)
    half, gain = rng.uniform(1, 8), rng.uniform(12, 20)
    factors = rng.permutation([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.6, 0.95)])
    highest_ratio = (a / (a + b)) ** a * (b / (a + b)) ** b

    def score(g: Any, r: Any, x: Any, t: Any) -> Any:
        of_ratio = 0.5 + 0.5 * g**a * (1 - g) ** b / highest_ratio
        of_rate = np.exp((x - cliff) / climb) / (1 + np.exp((x - cliff) / steep))
        return 34 + gain * of_ratio * of_rate * (2**r / (2**r + half)) * factors[t]

    return score


FAMILIES: dict[str, Callable[[np.random.Generator], Score]] = {"bowl": bowl, "ridge": ridge, "collapse": collapse}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One made-up objective and its best score."""

    score: Score
    best: float

    def true(self, point: dict[str, Any]) -> float:
        rate = math.log(point[RATE] / 1e-5) / math.log(1e3)
        return float(self.score(point[FRACTION], math.log2(point[RANK]), rate, TEMPLATES.index(point[TEMPLATE])))


def make_objective(family: str, number: int) -> Objective:
    """The objective of a round, and its best by a grid."""
    score = FAMILIES[family](np.random.default_rng([number, len(family)]))
    g, r, x, t = np.meshgrid(np.linspace(0, 1, 201), np.log2(RANKS), np.linspace(0, 1, 201), np.arange(3), indexing="ij")
    return Objective(score=score, best=float(score(g, r, x, t).max()))


def sampler(method: str, seed: int) -> optuna.samplers.BaseSampler:
    """Each as it comes."""
    if method == OURS:
        return SurfaceSampler(seed=seed)
    if method == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed) if method == "tpe" else optuna.samplers.RandomSampler(seed=seed)


def run(family: str, method: str, trials: int, number: int) -> list[Row]:
    """One method on one round's objective; a row a rule."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    objective = make_objective(family, number)
    noise = np.random.default_rng([number, 7]).standard_normal(trials) * NOISE  # the same for every method
    study = optuna.create_study(direction="maximize", sampler=sampler(method, number))
    tried: list[dict[str, Any]] = []
    seen: list[float] = []
    regrets: dict[str, list[float]] = {"surface": []} if method == OURS else {"own": [], "surface": []}
    logs: tuple[Any, ...] = ()
    for index in range(trials):
        trial = study.ask(SPACE)
        tried.append(dict(trial.params))
        seen.append(objective.true(trial.params) + float(noise[index]))
        trial.set_user_attr(STANDARD_ERRORS, [NOISE])
        study.tell(trial, seen[-1])
        best, logs = by_surface(tried, seen, logs)
        regrets["surface"].append(objective.best - objective.true(best))
        if "own" in regrets:
            regrets["own"].append(objective.best - objective.true(tried[int(np.argmax(seen))]))
    limit = WITHIN * objective.best
    return [_row(family, number, method, "own" if method == OURS else rule, found, limit) for rule, found in regrets.items()]


def by_surface(
    tried: Sequence[dict[str, Any]], seen: Sequence[float], logs: tuple[Any, ...]
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """The point that our surface recommends after these trials."""
    axes = axes_of(SPACE)
    trials = observations(places_of(axes, tried), seen, [NOISE**2] * len(seen))
    surface = fit(axes, trials, start=logs, settings=4)
    return point_at(axes, recommended(surface, candidates=512)), tuple(item.log for item in surface.settings)


def _row(family: str, number: int, method: str, rule: str, regrets: Sequence[float], limit: float) -> Row:
    outside = [index for index, regret in enumerate(regrets, start=1) if regret > limit]
    needed = (outside[-1] if outside else 0) + 1
    censored = needed > len(regrets)
    return Row(
        family=family,
        round=number,
        method=method,
        rule=rule,
        trials=min(needed, len(regrets)),
        censored=censored,
        last_regret=round(regrets[-1], 3),
    )


def figures(rows: Sequence[Row], family: str = HELD_OUT) -> dict[str, float]:
    """Of one family."""
    needed: dict[str, list[Row]] = {}
    for row in rows:
        if row.family == family:
            needed.setdefault(row.method if row.rule == "own" else f"{row.method}_same_rule", []).append(row)
    ours = needed.pop(OURS)
    found: dict[str, float] = {}
    for name, theirs in needed.items():
        found[f"cost_ratio_to_{name}"] = _median(theirs) / _median(ours)
        found[f"cost_ratio_to_{name}_mean"] = statistics.fmean(r.trials for r in theirs) / statistics.fmean(r.trials for r in ours)
    for name, those in {OURS: ours, **needed}.items():
        found[f"trials_{name}"] = _median(those)
        found[f"censored_{name}"] = sum(row.censored for row in those) / len(those)
    return {name: round(value, 3) for name, value in found.items()}


def _median(rows: Sequence[Row]) -> float:
    return statistics.median(row.trials for row in rows)


def main() -> None:
    options = arguments("How many trials does a search need?", rounds=20)
    started_load = load()
    rounds, trials = (min(options.rounds, 2), QUICK_TRIALS) if options.quick else (options.rounds, TRIALS)
    families = [HELD_OUT] if options.quick else list(FAMILIES)
    work = [(family, method, trials, number) for number in range(rounds) for family in families for method in (OURS, *RIVALS)]
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[threads] = "1"  # before a worker's numpy reads it: matrices are small, and there is a process a core
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1), mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = [row for found in pool.map(partial(_run_packed), work) for row in found]
    publish(rows, families, trials, started_load, as_json=options.json)


def _run_packed(work: tuple[str, str, int, int]) -> list[Row]:
    return run(*work)


def publish(rows: Sequence[Row], families: Sequence[str], trials: int, started_load: float, *, as_json: bool) -> None:
    described: dict[str, Any] = {**environment.describe(), "load_before": started_load, "trials": trials, "noise": NOISE}
    found = {family: figures(rows, family) for family in (HELD_OUT, *(family for family in families if family != HELD_OUT))}
    if as_json:
        named = {
            (name if family == HELD_OUT else f"{family} {name}"): value for family in found for name, value in found[family].items()
        }
        tree = {"environment": described, "figures": named, "rows": [asdict(row) for row in rows]}
        json.dump(tree, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    lines = [f"{described['processor']}, {described['cores']} cores, commit {described['commit']}, {trials} trials a round"]
    for family, values in found.items():
        lines += [family, *(f"  {name:<36} {value:.4g}" for name, value in values.items())]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
