"""What a difference allows to say, and the sign that stands for it in every table.

What comes in: a Difference, and what its rows can show. What goes out: a `Reading`. The interval decides between better, worse
and neither; where p-values were recorded, a full sign also asks that the test, after Holm's correction over the tasks of the table,
says the same. The two can disagree on few rows, and the reading then says which of them speaks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mixwright.records import Difference, PowerRecord
from mixwright.report import wording

Tone = Literal["good", "bad", "even"]

ALPHA = 0.05
"""P-values below it count, as with intervals of 95 %."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One kind of outcome."""

    glyph: str
    words: str
    """As short as a table's cell."""
    legend: str
    """What it takes to be read so."""
    tone: Tone
    holds: bool = True
    """False where the interval and the corrected test do not say the same."""


BETTER = Reading(glyph="▲", words="better", legend="better than base", tone="good")
BETTER_ALONE = Reading(
    glyph="△",
    words="better, uncorrected",
    legend="better by its own interval, not by the test after Holm's correction",
    tone="good",
    holds=False,
)
WORSE = Reading(glyph="▼", words="worse", legend="worse than base", tone="bad")
WORSE_ALONE = Reading(
    glyph="▽",
    words="worse, uncorrected",
    legend="worse by its own interval, not by the test after Holm's correction",
    tone="bad",
    holds=False,
)
TEST_ALONE = Reading(
    glyph="≈!",
    words="by the test alone",
    legend="by the test after Holm's correction alone: the interval holds 0, and no difference is claimed",
    tone="even",
    holds=False,
)
EVEN = Reading(glyph="≈", words="no difference shown", legend="no difference shown: the interval holds 0", tone="even")
UNDERPOWERED = Reading(
    glyph="≈?",
    words="too few rows",
    legend="no difference shown, and too few rows to show one that matters",
    tone="even",
)
NO_INTERVAL = Reading(glyph="?", words="no interval", legend="no interval", tone="even")
_ALL = (BETTER, BETTER_ALONE, WORSE, WORSE_ALONE, TEST_ALONE, EVEN, UNDERPOWERED, NO_INTERVAL)


def read(difference: Difference | None, power: PowerRecord | None = None) -> Reading:
    """The reading of a difference to base; without a power record nothing is called underpowered."""
    result = wording.outcome(difference)
    if difference is None or result == "no interval":
        return NO_INTERVAL
    rejected = difference.p_corrected is not None and difference.p_corrected < ALPHA
    if result == "no difference shown":
        return TEST_ALONE if rejected else UNDERPOWERED if power is not None and power.underpowered else EVEN
    holds = rejected or difference.p_corrected is None
    if result == "better":
        return BETTER if holds else BETTER_ALONE
    return WORSE if holds else WORSE_ALONE


def met(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """The kinds that occur, for a legend that explains no sign that is not there."""
    found = set(readings)
    return tuple(reading for reading in _ALL if reading in found)
