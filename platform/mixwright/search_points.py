"""Searched keys -> whole points: what applies where, what a number in [0, 1) stands for, and what the trial gets of it.

What comes in: the parameters of a `SearchConfig`. What goes out: plain dicts. There are two: *draws*, which a sampler sees, one
independent name each; and *values*, which a trial gets by dotted key. They differ for weights of a simplex, whose draws are
independent and whose values sum to 1, and for choices that are lists, which a sampler sees as text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixwright.search_config import ChoiceSpec, RangeSpec, SimplexSpec, Spec, encoded, holds

DRAW = ".draw"
"""Ends the name of a simplex's draw: `mixture.task_weights.fluency.draw`."""
LOWEST_DRAW = 1e-9
"""Of a simplex: 0 would be all of the weight, however the others fell."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """The space as a set of points."""

    parameters: Mapping[str, Spec]
    """By dotted key, what others hang on before them."""
    whole: frozenset[str] = frozenset()
    """Keys of ranges of whole numbers."""

    @property
    def draw_names(self) -> tuple[str, ...]:
        """All names that a sampler may see, in order."""
        return tuple(name for key, spec in self.parameters.items() for name in draws_of(key, spec))

    def walk(self, draw: Callable[[str, str], Any]) -> dict[str, Any]:
        """The draws of one point. `draw` is asked for each name that applies, with the name and its key, and no other."""
        draws: dict[str, Any] = {}
        for key, spec in self.parameters.items():
            if self.applies(spec, draws):
                draws.update((name, draw(name, key)) for name in draws_of(key, spec))
        return draws

    def applies(self, spec: Spec, draws: Mapping[str, Any]) -> bool:
        """Whether all that `spec` hangs on was drawn, and as it wants it."""
        return all(name in draws and holds(wanted, draws[name]) for name, wanted in spec.when.items())

    def names_at(self, draws: Mapping[str, Any]) -> set[str]:
        """Of a point with a draw for every name, or for those that apply, the names that apply."""
        return set(self.walk(lambda name, key: draws[name]))

    def values(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """What the trial gets: exact weights, and choices as they were given."""
        values: dict[str, Any] = {}
        for key, spec in self.parameters.items():
            if isinstance(spec, SimplexSpec):
                if self.applies(spec, draws):
                    values.update((f"{key}.{name}", weight) for name, weight in weights(spec, key, draws).items())
            elif key in draws:
                choices = spec.choices if isinstance(spec, ChoiceSpec) else ()
                values[key] = next((item for item in choices if encoded(item) == draws[key]), draws[key])
        return values

    def draws(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The draws that give these values; a simplex's may stand as one mapping, as in `first`, or as a trial has them."""
        found: dict[str, Any] = {}
        for key, spec in self.parameters.items():
            if isinstance(spec, SimplexSpec):
                own = values.get(key) or {name: values[f"{key}.{name}"] for name in spec.simplex if f"{key}.{name}" in values}
                found.update(draws_for(spec, key, own) if own else {})
            elif key in values:
                found[key] = encoded(values[key])
        return found

    def at(self, units: Mapping[str, float]) -> dict[str, Any]:
        """The draws at a place of the unit cube, with a number in [0, 1) for each of `draw_names`; those that apply are read."""
        return self.walk(lambda name, key: self.drawn_at(key, units[name]))

    def drawn_at(self, key: str, unit: float) -> Any:
        """The draw that stands at `unit` in [0, 1) of a key's own distribution; evenly spread numbers give its own spread."""
        spec = self.parameters[key]
        if isinstance(spec, ChoiceSpec):
            return encoded(spec.choices[int(unit * len(spec.choices))])
        if isinstance(spec, SimplexSpec):
            return max(unit, LOWEST_DRAW)
        if key in self.whole or spec.step is not None:
            return self._on_grid(key, spec, unit)
        if spec.log:
            return min(spec.high, math.exp(math.log(spec.low) + unit * math.log(spec.high / spec.low)))
        return spec.low + unit * (spec.high - spec.low)

    def _on_grid(self, key: str, spec: RangeSpec, unit: float) -> float | int:
        if spec.log:  # whole numbers, each as likely as the stretch from half below to half above it
            low, high = math.log(spec.low - 0.5), math.log(spec.high + 0.5)
            return max(round(spec.low), min(round(spec.high), round(math.exp(low + unit * (high - low)))))
        step = spec.step or 1.0
        value = spec.low + int(unit * (round((spec.high - spec.low) / step) + 1)) * step
        return round(value) if key in self.whole else value

    def grid(self) -> Iterator[dict[str, Any]]:
        """The draws of every combination; none twice, whatever does not apply."""
        return self._grid([*self.parameters.items()], {})

    def _grid(self, left: list[tuple[str, Spec]], draws: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not left:
            yield dict(draws)
            return
        (key, spec), *rest = left
        if not self.applies(spec, draws):
            yield from self._grid(rest, draws)
            return
        for value in self.on_grid(key):
            yield from self._grid(rest, {**draws, key: value})

    def on_grid(self, key: str) -> tuple[Any, ...]:
        """All draws of a key; empty where they cannot be counted."""
        spec = self.parameters[key]
        if isinstance(spec, ChoiceSpec):
            return tuple(encoded(choice) for choice in spec.choices)
        if isinstance(spec, SimplexSpec) or (key not in self.whole and spec.step is None):
            return ()
        step = spec.step or 1.0
        steps = range(round((spec.high - spec.low) / step) + 1)
        return tuple(round(spec.low + i * step) if key in self.whole else spec.low + i * step for i in steps)

    def excess(self, draws: Mapping[str, Any]) -> dict[str, float]:
        """By simplex, how far a weight goes beyond its highest; 0 or below: none does. Where the simplex does not apply, 0."""
        found = {}
        for key, spec in self.parameters.items():
            if isinstance(spec, SimplexSpec) and any(high < 1 for _, high in spec.bounds.values()):
                own = weights(spec, key, draws) if self.applies(spec, draws) else {}
                found[key] = max((own[name] - high for name, (_, high) in spec.bounds.items() if own), default=0.0)
        return found


def ordered(parameters: Mapping[str, Spec]) -> dict[str, Spec]:
    """The parameters in their order, but what others hang on before them; conditions go round in no circle."""
    placed: dict[str, Spec] = {}

    def place(key: str) -> None:
        for name in parameters[key].when:
            place(name)
        placed.setdefault(key, parameters[key])

    for key in parameters:
        place(key)
    return placed


def draws_of(key: str, spec: Spec) -> tuple[str, ...]:
    """The names under which a sampler sees a key."""
    return tuple(f"{key}.{name}{DRAW}" for name in spec.simplex) if isinstance(spec, SimplexSpec) else (key,)


def weights(spec: SimplexSpec, key: str, draws: Mapping[str, Any]) -> dict[str, float]:
    """Weights that sum to 1 from independent uniform draws: gamma quantiles over their sum are Dirichlet distributed.

    Lowest weights are given first and what is left is shared, which keeps a flat distribution flat.
    """
    gammas = [_gamma(spec.concentration, draws[f"{key}.{name}{DRAW}"]) for name in spec.simplex]
    total = math.fsum(gammas)
    shares = [gamma / total for gamma in gammas] if total > 0 else [1.0 / len(gammas)] * len(gammas)
    lows = [spec.bounds.get(name, (0.0, 1.0))[0] for name in spec.simplex]
    left = 1.0 - math.fsum(lows)
    return {name: low + left * share for name, low, share in zip(spec.simplex, lows, shares, strict=True)}


def vertices(spec: SimplexSpec, key: str) -> Iterator[dict[str, float]]:
    """For each name the values with as much of it as its bounds and those of the others allow."""
    for first in spec.simplex:
        found = {name: spec.bounds.get(name, (0.0, 1.0))[0] for name in spec.simplex}
        left = 1.0 - math.fsum(found.values())
        for name in (first, *(other for other in spec.simplex if other != first)):
            more = min(left, spec.bounds.get(name, (0.0, 1.0))[1] - found[name])
            found[name], left = found[name] + more, left - more
        yield {f"{key}.{name}": weight for name, weight in found.items()}


def draws_for(spec: SimplexSpec, key: str, wanted: Mapping[str, float]) -> dict[str, float]:
    """Draws that give these weights; of the many that do, those whose gammas sum to their mean."""
    lows = {name: spec.bounds.get(name, (0.0, 1.0))[0] for name in spec.simplex}
    left = 1.0 - math.fsum(lows.values())
    total = min(20.0, len(lows) * spec.concentration)  # beyond it, draws would fall below the lowest
    return {
        f"{key}.{name}{DRAW}": max(LOWEST_DRAW, _draw(spec.concentration, total * max(0.0, wanted[name] - low) / left))
        for name, low in lows.items()
    }


def _gamma(concentration: float, draw: float) -> float:
    """The quantile of a gamma distribution at 1 - draw; the exponential's where it is flat."""
    if concentration == 1.0:
        return -math.log(draw)
    from scipy.special import gammainccinv

    return float(gammainccinv(concentration, draw))


def _draw(concentration: float, gamma: float) -> float:
    if concentration == 1.0:
        return math.exp(-gamma)
    from scipy.special import gammaincc

    return float(gammaincc(concentration, gamma))


def combinations(points: Points, limit: int) -> int:
    """Number of points of the grid, counted up to `limit`."""
    return sum(1 for _ in itertools.islice(points.grid(), limit))
