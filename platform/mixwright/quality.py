"""Scenario rows as a trial learns them, where the quality of data is searched: wrong responses, a filter, fewer different rows.

What comes in: the rows of one task in their nested order, and `MixtureConfig`'s noise, min_overlap and distinct_fraction. What goes
out: the same order with some rows changed and some left out. Generic rows and rows of evaluation never come here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from mixwright.config import MixtureConfig
from mixwright.errors import MixtureError

TRIES = 200
"""Rows that are asked for a wrong response before a row keeps its own."""


class Row(Protocol):
    """What is asked of a training row: an `Example` has it, and so has the name of one."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


class Contents(Protocol[R]):
    """What rows hold; a `TokenTable` says it of names."""

    def with_response_of(self, row: R, other: R) -> R | None:
        """`row` with the response of `other`, under its own id; None where the two are the same, or the row would be too long."""
        ...

    def overlap(self, row: R) -> float:
        """Share of the response, 0 to 1, that stands in the prompt."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sifted(Generic[R]):
    """A task's rows as they are learned."""

    rows: list[R]
    noised: frozenset[str] = frozenset()
    """Ids of those of them that have a wrong response."""
    filtered: int = 0
    """Rows that the filter left out."""


def sifted(ranked: list[R], config: MixtureConfig, contents: Contents[R] | None) -> Sifted[R]:
    """The rows with `noise` put in, and then filtered: the filter sees what a team would see that does not know which are wrong.

    Whether a row is wrong hangs on its place in the nested order alone, and so does the response that it gets: more noise is the
    same noise and more, and a mixture of fewer rows holds the first of them. Among the first n rows the share is met to
    within a row where it is 1/2 or 1/4, and to within log2(n) / 3 + 1 rows whatever it is (van der Corput's sequence).

    Raises:
        MixtureError: noise or filter without `contents`.
    """
    if not (config.noise or config.min_overlap):
        return Sifted(rows=ranked)
    if contents is None:
        raise MixtureError("mixture.noise and mixture.min_overlap need the rows' contents; this is a fault of the caller")
    rows, noised = list(ranked), set()
    for place, row in enumerate(ranked):
        wrong = _wrong(ranked, place, contents) if radical_inverse(place) < config.noise else None
        if wrong is not None:
            rows[place] = wrong
            noised.add(row.id)
    kept = [row for row in rows if contents.overlap(row) >= config.min_overlap] if config.min_overlap else rows
    return Sifted(rows=kept, noised=frozenset(noised.intersection(row.id for row in kept)), filtered=len(rows) - len(kept))


def distinct_rows(count: int, there: int, fraction: float) -> int:
    """How many different rows `count` of them are, of `there`: the share asked for, rounded up, or all that there are."""
    return min(there, max(1, math.ceil(count * fraction - 1e-9)))


def radical_inverse(number: int) -> float:
    """The binary digits of a whole number mirrored at the point, in [0, 1): 0, 1/2, 1/4, 3/4, 1/8, ..."""
    digits = f"{number:b}"
    return int(digits[::-1], 2) / (1 << len(digits))


def _wrong(ranked: Sequence[R], place: int, contents: Contents[R]) -> R | None:
    """The row with the response of one half the pool away, or of the next one that has another and fits."""
    row, start = ranked[place], place + len(ranked) // 2
    for step in range(min(TRIES, len(ranked))):
        wrong = contents.with_response_of(row, ranked[(start + step) % len(ranked)])
        if wrong is not None:
            return wrong
    return None
