"""What a surface says, in sentences that a team can act on.

What comes in: the records of an objective's answer. What goes out: plain sentences. Nothing is said that is not 90 % sure; where
that leaves nothing, the sentence says so, and what would help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mixwright.records import Location, ObjectiveAnswer
from mixwright.search.surface.questions import Change, Wanted

_NAMES = {
    "mixture.generic_fraction": "generic",
    "lora.rank": "rank",
    "lora.alpha": "alpha",
    "train.learning_rate": "learning rate",
    "mixture.size": "mixture size",
}
_OBJECTIVES = {"seen": "the seen tasks", "unseen": "the unseen tasks", "retention": "retention"}
_SINGULAR = {"retention"}
_WHOLE_SHARE = 0.95


def too_few(complete: int, fewest: int) -> str:
    return (
        f"Nothing can be told: {_count(complete, 'trial')} ran the whole budget, and a surface needs at least {fewest}; "
        f"{fewest - complete} more would give a first picture."
    )


def whole(objectives: Sequence[ObjectiveAnswer], recommended: Mapping[str, Any]) -> tuple[str, ...]:
    """What is recommended, and the sentences of all objectives, the leading one first."""
    return (_recommendation(objectives[0], recommended), *(sentence for item in objectives for sentence in item.sentences))


def _recommendation(item: ObjectiveAnswer, recommended: Mapping[str, Any]) -> str:
    values = sorted((key_name(key) + " " + value_text(value) for key, value in recommended.items()), key=_generic_first)
    expected = f"{_objective(item.objective)} at {item.expected.value:.1f} ({item.expected.low:.1f} to {item.expected.high:.1f})"
    return f"The surface recommends {', '.join(values)}, and predicts {expected}; differences below are from there."


def of_objective(
    item: ObjectiveAnswer, changes: Sequence[Change], wanted: Wanted | None, *, rows: int, is_leading: bool
) -> tuple[str, ...]:
    """What is known of one objective."""
    spoken = []
    if is_leading and item.region.locations:
        spoken.append(_as_good(item))
    spoken += [_change(item.objective, change) for change in sorted(changes, key=lambda change: change.value)]
    if not is_leading and not changes and item.region.locations and item.region.share >= _WHOLE_SHARE:
        known = f"no more than {_points(item.region.margin, item.objective)} below the best anywhere in the space, 90 % sure"
        spoken.append(f"{_capital(_objective(item.objective))}: {known}.")
    if not spoken:
        spoken.append(_nothing(item, wanted, rows))
    return tuple(spoken)


def _as_good(item: ObjectiveAnswer) -> str:
    """`generic 0.25 to 0.45 with rank 16 or more is as good as anything tried (within 3 points of the seen tasks)`."""
    within = f"within {_points(item.region.margin, item.objective)} on {_objective(item.objective)}, 90 % sure"
    parts = [part for location in item.region.locations if (part := _location(location))]
    if not parts:
        if item.region.share >= _WHOLE_SHARE:
            return f"Everything that was searched is as good as anything tried ({within}): no key matters more than that."
        return f"Most of what was searched is as good as anything tried ({within})."
    return f"{_capital(' with '.join(sorted(parts, key=_generic_first)))} is as good as anything tried ({within})."


def _generic_first(part: str) -> tuple[bool, bool]:
    return not part.startswith("generic"), not part.startswith("rank")


def _change(objective: str, change: Change) -> str:
    """`At generic 0.1 and below the unseen tasks drop by 4.1 ± 1.2 points.`"""
    verb = ("drop" if change.value < 0 else "gain") + ("s" if objective in _SINGULAR or objective not in _OBJECTIVES else "")
    by = f"{_number(abs(change.value))} ± {_points(change.half_width, objective)}"
    return f"{_capital(_where(change.location))} {_objective(objective)} {verb} by {by}."


def _where(location: Location) -> str:
    name = key_name(location.key)
    if location.choices:
        return f"with {name} {_listed(location.choices)}"
    if location.low == location.high:
        return f"at {name} {value_text(location.low)}"
    if location.at_low_end:
        return f"at {name} {value_text(location.high)} and below"
    return f"at {name} {value_text(location.low)} and above"


def _location(location: Location) -> str:
    """Empty for all that was searched."""
    name = key_name(location.key)
    if location.is_whole:
        return ""
    if location.choices:
        return f"{name} {_listed(location.choices)}"
    if location.low == location.high:
        return f"{name} {value_text(location.low)}"
    if location.at_high_end:
        return f"{name} {value_text(location.low)} or more"
    if location.at_low_end:
        return f"{name} {value_text(location.high)} or less"
    return f"{name} {value_text(location.low)} to {value_text(location.high)}"


def _nothing(item: ObjectiveAnswer, wanted: Wanted | None, rows: int) -> str:
    margin = _points(item.region.margin, item.objective)
    sentence = (
        f"Nothing can be told of {_objective(item.objective)} yet: {_count(item.trials, 'trial')}, each uncertain by "
        f"± {_points(item.noise, item.objective)}, do not show a difference of {margin} anywhere, and do not rule one out"
    )
    if wanted is None:
        return f"{sentence}."
    helps = []
    if wanted.trials is not None:
        helps.append(f"about {wanted.trials} more trials, spread over the space,")
    if wanted.rows_factor is not None:
        more = f"about {wanted.rows_factor:g} times the evaluation rows"
        helps.append(f"{more} ({round(rows * wanted.rows_factor)} a task)" if rows else more)
    if not helps:
        return f"{sentence}; neither 500 more trials nor 16 times the rows would change that: search a smaller space."
    return f"{sentence}; {' or '.join(helps)} would show one."


def key_name(key: str) -> str:
    """A key as people call it."""
    return _NAMES.get(key, key.split(".")[-1].replace("_", " "))


def value_text(value: object) -> str:
    """Two or three digits, and no more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) >= 1 else "0"
    return f"{value:.1e}" if abs(value) < 1e-2 else f"{value:.2g}"


def _listed(choices: Mapping[str, float]) -> str:
    return " or ".join(choices)


def _objective(name: str) -> str:
    return _OBJECTIVES.get(name, name)


def _points(value: float, objective: str) -> str:
    return f"{_number(value)} nats" if objective == "retention" else f"{_number(value)} points"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "an unknown number"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
