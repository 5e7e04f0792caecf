"""How the configuration of a call differs from the one that a run was started with, and which of it a run can take.

What comes in: two configurations as plain trees. What goes out: `Change`s, each with its dotted key and both values. Where a run
goes on, nothing may differ but where and how long it runs. Where it is extended, its search may grow as well: more trials, wider
ranges, further choices, another sampler. What trials have in common (model, data, budget, evaluation, objective) may not, since
old and new ones would no longer be comparable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.config import AUTO

ON_RESUME = (
    "search.trials",
    "search.storage",
    "serve",
    "tracking",
    "cluster.address",
    "cluster.driver_resource",
    "cluster.elastic",
    "cluster.lanes",
    "cluster.max_failures",
    "cluster.price_per_worker_hour",
    "cluster.tokens_per_second",
)
"""Beginnings of the keys that a run which goes on may have otherwise."""
ON_EXTENSION = ("search.sampler", "search.startup_trials", "search.confirm")
PARAMETERS = "search.parameters"
_SHOWN = 4
_SHARED = "all trials of a run share it"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One key with two values."""

    key: str
    there: Any
    here: Any
    problem: str = ""
    """Why an extension cannot take it; empty where it can."""

    @property
    def text(self) -> str:
        """Both values."""
        return f"{self.key}: {_shown(self.there)} there, {_shown(self.here)} here"


def changes(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[Change]:
    """What a run may not have otherwise when it goes on, in the order of keys; what `here` leaves to the cluster differs from
    nothing."""
    found = [change for change in _leaves(there, here, "") if not change.key.startswith((*ON_RESUME, PARAMETERS))]
    old, new = (tree.get("search", {}).get("parameters", {}) for tree in (there, here))
    found += [
        Change(key=f"{PARAMETERS}.{key}", there=old.get(key), here=new.get(key), problem=_problem(old.get(key), new.get(key)))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    return sorted(found, key=lambda change: change.key)


def differ(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether any key has another value."""
    return next(_leaves(there, here, ""), None) is not None


def describe(found: Sequence[Change], *, problems: bool = False) -> str:
    """The changes on one line, the first few of many, with what speaks against each where `problems` is set."""
    shown = "; ".join(change.text + (f" ({change.problem})" if problems else "") for change in found[:_SHOWN])
    return shown + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _leaves(there: Any, here: Any, key: str) -> Iterator[Change]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in sorted({*there, *here}):
            yield from _leaves(there.get(name), here.get(name), f"{key}.{name}" if key else str(name))
    elif there != here and not (here == AUTO and key.startswith("cluster.")):
        yield Change(
            key=key, there=there, here=here, problem="" if key.startswith(ON_EXTENSION) else "all trials of a run share it"
        )


def _problem(there: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> str:
    """Why a searched key cannot go from one specification to the other."""
    if there is None or here is None:
        return "trials have no value of it" if there is None else "trials were drawn over it"
    if "choices" in there and "choices" in here:
        kept = {name: value for name, value in there.items() if name != "choices"}
        same = kept == {name: value for name, value in here.items() if name != "choices"}
        return "" if same and all(choice in here["choices"] for choice in there["choices"]) else "choices may be added, not removed"
    if {"low", "high"} <= there.keys() & here.keys():
        same = all(there.get(name) == here.get(name) for name in {*there, *here} - {"low", "high"})
        wider = here["low"] <= there["low"] and here["high"] >= there["high"]
        step = there.get("step")
        on_grid = not step or _is_whole((there["low"] - here["low"]) / step)
        return "" if same and wider and on_grid else "a range may be widened, by whole steps, and nothing else"
    if "simplex" in there and "simplex" in here:
        return "weights stay as they were drawn"
    return "a range does not become choices, nor choices a range"


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-9


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in value.items() if item not in (None, False, {})) + "}"
    return "none" if value is None else str(value)
