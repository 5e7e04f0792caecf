"""Ratio and weights -> exact counts -> one seeded order.

What comes in: the training examples of every task and of the generic pool, and a `MixtureConfig`. What goes out: a
`Mixture`, the rows in the order in which they are learned. Three rules hold, and the search leans on each:

- counts are exact: generic_fraction and the task weights are turned into whole rows by largest remainder, the fraction first;
- subsets are nested: with the same seed, a mixture with more rows of a task holds the rows of one with fewer, in the
  same order among themselves, so that two trials differ in the ratio and not in the luck of the draw;
- the order does not depend on where a row stood in its file or a source in the configuration: it hangs on row ids.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Generic, NamedTuple

from mixwright.config import MixtureConfig
from mixwright.errors import ConfigError, MixtureError, did_you_mean
from mixwright.quality import Contents, R, Row, Sifted, distinct_rows, sifted
from mixwright.records import GENERIC


@dataclass(frozen=True, kw_only=True)
class Mixture(Generic[R]):
    """What one trial learns, in order."""

    rows: tuple[R, ...]
    counts: dict[str, int]
    """Rows by task, `generic` included, repeats and epochs counted."""
    distinct: dict[str, int]
    """Different rows by task; below `counts` where a source was repeated."""
    noised: dict[str, int] = field(default_factory=dict)
    """Of `counts`, those with a wrong response, by task; empty without `noise`."""
    filtered: dict[str, int] = field(default_factory=dict)
    """Rows of each task's pool that `min_overlap` left out; empty without it."""

    @property
    def generic_fraction(self) -> float:
        """The share that came out, which differs from the one asked for by less than one row."""
        return self.counts.get(GENERIC, 0) / max(1, len(self.rows))


def largest_remainder(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole counts that sum to `total` and lie within one of total x share (Hamilton's method).

    Shares are rescaled to sum to 1. Ties go to the name that sorts first, so the result does not depend on the order of
    the mapping. A share of 0 gets 0.

    Raises:
        MixtureError: no share is positive.
    """
    exact = {name: Fraction(share) for name, share in shares.items()}
    whole = sum(exact.values())
    if whole <= 0:
        raise MixtureError(f"shares {dict(shares)} leave nothing to draw from; give at least one a positive value")
    quotas = {name: total * share / whole for name, share in exact.items()}
    counts = {name: math.floor(quota) for name, quota in quotas.items()}
    missing = total - sum(counts.values())
    by_remainder = sorted(quotas, key=lambda name: (counts[name] - quotas[name], name))
    for name in by_remainder[:missing]:
        counts[name] += 1
    return counts


def exact_counts(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Counts of the generic rows and of each task, summing to `total`.

    Generic against scenario is settled first, so that the generic count is total x generic_fraction, rounded, whatever the
    task weights are.
    """
    scenario = _scenario_part(shares)
    halves = largest_remainder(total, {GENERIC: shares[GENERIC], "": sum(scenario.values())})
    tasks = largest_remainder(halves[""], scenario) if halves[""] else dict.fromkeys(scenario, 0)
    return {**tasks, GENERIC: halves[GENERIC]}


def _scenario_part(shares: Mapping[str, float]) -> dict[str, float]:
    return {task: share for task, share in shares.items() if task != GENERIC}


def task_shares(config: MixtureConfig, trained_tasks: Sequence[str]) -> dict[str, float]:
    """The scenario tasks' shares of the scenario part, summing to 1.

    Raises:
        ConfigError: a weight is given to a task that is not trained.
    """
    if not config.task_weights:
        return {task: 1.0 / len(trained_tasks) for task in trained_tasks}
    for name, weight in config.task_weights.items():
        if name not in trained_tasks and weight > 0:
            hint = did_you_mean(name, trained_tasks)
            raise ConfigError(f"mixture.task_weights: '{name}' is no trained task; trained are {', '.join(trained_tasks)}{hint}")
    total = sum(config.task_weights.values())
    return {task: config.task_weights.get(task, 0.0) / total for task in trained_tasks}


def build_mixture(
    pools: Mapping[str, Sequence[R]],
    config: MixtureConfig,
    trained_tasks: Sequence[str],
    *,
    seed: int,
    order_seed: int | None = None,
    token_count: Callable[[R], int] | None = None,
) -> Mixture[R]:
    """The rows of one trial.

    Args:
        pools: training examples by task; generic rows under `generic`.
        trained_tasks: the scenario's seen tasks.
        seed: of the nested choice and of the order; the same for every trial of a sweep.
        order_seed: of the order alone, where a point is repeated: the same rows are then learned in another order.
        token_count: tokens of a rendered row; needed where the budget is `tokens`.

    Raises:
        MixtureError: a pool is too small even when repeated; the message says what would fit.
        ConfigError: a weight for a task that is not trained.
    """
    return RankedPools(pools, token_count).mixture(config, trained_tasks, seed=seed, order_seed=order_seed)


class RankedPools(Generic[R]):
    """Pools that keep their nested orders, so that the mixtures of many trials rank each pool once."""

    def __init__(
        self,
        pools: Mapping[str, Sequence[R]],
        token_count: Callable[[R], int] | None = None,
        contents: Contents[R] | None = None,
    ) -> None:
        """Takes what `build_mixture` takes; the pools and what is said of their rows must stay as they are.

        Args:
            contents: needed where `noise` or `min_overlap` is asked for.
        """
        self._pools = pools
        self._token_count = token_count
        self._contents = contents
        self._orders: dict[tuple[str, int], list[R]] = {}
        self._sifted: dict[str, tuple[_Quality, Sifted[R]]] = {}
        self._totals: dict[str, tuple[_Quality, list[int]]] = {}

    def mixture(
        self, config: MixtureConfig, trained_tasks: Sequence[str], *, seed: int, order_seed: int | None = None
    ) -> Mixture[R]:
        """The rows of one trial; arguments and errors as in `build_mixture`."""
        shares = {task: share * (1.0 - config.generic_fraction) for task, share in task_shares(config, trained_tasks).items()}
        shares[GENERIC] = config.generic_fraction
        sifts = {task: self._sift(task, config, seed) for task, share in shares.items() if share > 0}
        whole = {task: sift.rows for task, sift in sifts.items()}
        if config.budget == "tokens":
            counts = _counts_within_tokens(config, shares, {task: self._token_totals(task, config, seed) for task in whole})
        else:
            counts = _counts(config, shares)
        _check_supply(counts, whole, config)
        ranked = {task: rows[: _distinct(task, counts[task], len(rows), config)] for task, rows in whole.items()}
        first = seed if order_seed is None else order_seed
        orders = [first, *(_order_of_epoch(first, epoch) for epoch in range(1, config.epochs))]
        rows = tuple(itertools.chain.from_iterable(_spread(counts, ranked, seed, order) for order in orders))
        return Mixture(
            rows=rows,
            counts={task: count * config.epochs for task, count in counts.items()},
            distinct={task: min(count, len(ranked.get(task, ()))) for task, count in counts.items()},
            noised={task: _noised(counts[task], ranked[task], sift) * config.epochs for task, sift in sifts.items() if sift.noised},
            filtered={task: sift.filtered for task, sift in sifts.items() if sift.filtered},
        )

    def _sift(self, task: str, config: MixtureConfig, seed: int) -> Sifted[R]:
        """The task's rows in their nested order, as they are learned; of the last quality that was asked for."""
        if task == GENERIC:
            return Sifted(rows=self._ranked(task, seed))
        quality = _quality(task, config, seed)
        if task not in self._sifted or self._sifted[task][0] != quality:
            self._sifted[task] = quality, sifted(self._ranked(task, seed), config, self._contents)
        return self._sifted[task][1]

    def _ranked(self, task: str, seed: int) -> list[R]:
        if (task, seed) not in self._orders:
            self._orders[task, seed] = _ranked(self._pools.get(task, ()), task, seed)
        return self._orders[task, seed]

    def _token_totals(self, task: str, config: MixtureConfig, seed: int) -> list[int]:
        """Tokens of the first 0, 1, 2, ... rows of the ranked pool."""
        if self._token_count is None:
            raise MixtureError("budget: tokens needs the tokenizer to count with; this is a fault of the caller")
        quality = _quality(task, config, seed)
        if task not in self._totals or self._totals[task][0] != quality:
            rows = self._sift(task, config, seed).rows
            self._totals[task] = quality, list(itertools.accumulate(map(self._token_count, rows), initial=0))
        return self._totals[task][1]


class _Quality(NamedTuple):
    """All that a task's rows hang on, as they are learned."""

    seed: int
    noise: float
    min_overlap: float


def _quality(task: str, config: MixtureConfig, seed: int) -> _Quality:
    return _Quality(seed, 0.0, 0.0) if task == GENERIC else _Quality(seed, config.noise, config.min_overlap)


def _distinct(task: str, count: int, there: int, config: MixtureConfig) -> int:
    """How many different rows the task's `count` rows are."""
    return distinct_rows(count, there, 1.0 if task == GENERIC else config.distinct_fraction)


def _noised(count: int, ranked: Sequence[R], sift: Sifted[R]) -> int:
    """Those of a task's rows that have a wrong response, repeats counted."""
    rounds, rest = divmod(count, max(1, len(ranked)))
    wrong = [row.id in sift.noised for row in ranked]
    return rounds * sum(wrong) + sum(wrong[:rest])


def _counts(config: MixtureConfig, shares: Mapping[str, float]) -> dict[str, int]:
    if config.budget == "examples":
        return exact_counts(config.size, shares)
    scenario = largest_remainder(config.size, _scenario_part(shares))
    generic = Fraction(config.generic_fraction)
    return {**scenario, GENERIC: round(config.size * generic / (1 - generic))}


def _counts_within_tokens(
    config: MixtureConfig, shares: Mapping[str, float], totals: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """The largest exact counts whose rows hold at most `size` tokens; the fraction stays one of examples.

    Args:
        totals: tokens of the first 0, 1, 2, ... rows of each pool.
    """

    def tokens(rows: int) -> int:
        total = 0
        for task, count in exact_counts(rows, shares).items():
            if count and len(totals[task]) > 1:  # an empty pool is told apart by _check_supply
                distinct = _distinct(task, count, len(totals[task]) - 1, config)
                rounds, rest = divmod(count, distinct)
                total += rounds * totals[task][distinct] + totals[task][rest]
        return total

    low, high = 0, 1
    while tokens(high) <= config.size and high <= 2 * config.size:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tokens(middle) <= config.size else (low, middle)
    if low == 0:
        raise MixtureError(
            f"mixture.size: {config.size} tokens hold not even one row; the smallest budget that fits is {tokens(1)}"
        )
    return exact_counts(low, shares)


def _check_supply(counts: Mapping[str, int], ranked: Mapping[str, Sequence[Row]], config: MixtureConfig) -> None:
    """Refuses counts beyond what the pools hold at max_repeats, and says which size would fit."""
    supply = {task: math.floor(len(ranked.get(task, ())) * config.max_repeats) for task in counts}
    short = [task for task, count in counts.items() if count > supply[task] and not _repeats_suffice(task, count, ranked, config)]
    if not short:
        return
    filtered = f" of min_overlap {config.min_overlap:g}" if config.min_overlap else ""
    lines = [f"{task} needs {counts[task]} rows and has {len(ranked.get(task, ()))}{filtered}" for task in short]
    scale = min(Fraction(supply[task], counts[task]) for task in short)
    fitting = math.floor(config.size * scale)
    repeats = max(counts[task] / max(1, len(ranked.get(task, ()))) for task in short)
    way_out = f"set mixture.size to at most {fitting}" if fitting else "add data"
    if all(ranked.get(task) for task in short):
        way_out += f", or mixture.max_repeats to at least {math.ceil(repeats * 100) / 100:g}"
    raise MixtureError(f"mixture: {'; '.join(lines)} (repeated at most {config.max_repeats:g} times); {way_out}")


def _repeats_suffice(task: str, count: int, ranked: Mapping[str, Sequence[Row]], config: MixtureConfig) -> bool:
    """Whether the different rows that are asked for are there, where distinct_fraction asks for repeats."""
    fraction = 1.0 if task == GENERIC else config.distinct_fraction
    return distinct_rows(count, count, fraction) <= len(ranked.get(task, ()))


def _order_of_epoch(seed: int, epoch: int) -> int:
    """The seed of the order in which an epoch after the first learns the same rows."""
    return int(_unit(f"epoch|{seed}|{epoch}") * 2**53)


def _unit(name: str) -> float:
    """A number in [0, 1) that hangs on the name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64


def _ranked(pool: Sequence[R], task: str, seed: int) -> list[R]:
    """The pool in its nested order: whoever needs n rows takes the first n."""
    return sorted(pool, key=lambda example: (_unit(f"choice|{seed}|{task}|{example.id}"), example.id))


def _sequence(pool: Sequence[R], count: int, task: str, seed: int, order_seed: int) -> list[R]:
    """`count` rows of a ranked pool, from its start again where it ends; the rows of each round in the order of `order_seed`."""
    rounds = [pool[: count - start] for start in range(0, count, max(1, len(pool)))]
    in_order = rounds if order_seed == seed else (_ranked(chosen, task, order_seed) for chosen in rounds)
    return list(itertools.chain.from_iterable(in_order))


def _spread(counts: Mapping[str, int], ranked: Mapping[str, Sequence[R]], seed: int, order_seed: int) -> tuple[R, ...]:
    """All tasks evenly mixed over the whole run, each keeping its nested order.

    The j-th of a task's n rows stands at (j + u) / n of the way, u a seeded number in [0, 1): every stretch of training
    then holds the tasks in their shares, and a trial stopped early has seen the ratio it was given.
    """
    placed = []
    for task, count in counts.items():
        for position, example in enumerate(_sequence(ranked.get(task, ()), count, task, seed, order_seed)):
            jitter = _unit(f"order|{order_seed}|{task}|{example.id}|{position // len(ranked[task])}")
            placed.append(((position + jitter) / count, task, position, example))
    placed.sort()  # never gets to the example: a task has one row at each position
    return tuple(example for *_, example in placed)
