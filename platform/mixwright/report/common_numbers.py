"""How much variance common random numbers remove: trials share seeds, nested data and evaluation rows, so they form pairs.

What comes in: for complete trials, what each evaluation row adds to the score of its task. What goes out: the variance of the
difference of two trials, as it is on shared rows, and as it would be had each been asked rows of its own.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixwright.report import wording
from mixwright.report.run_folder import RunFolder

ROWS_FILE = "rows.json"
MOST_PAIRS = 500

Influences = Mapping[str, Sequence[float]]
"""Task -> what each row adds to the score, rows in the same order for all trials."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Standard errors of the difference of two trials in the mean over trained tasks, from the choice of rows; in points."""

    paired: float
    """On shared rows."""
    unpaired: float
    """On rows of each trial's own."""

    @property
    def removed(self) -> float:
        """Share of the variance that sharing rows removes; below 0 where it adds some; 0 where there was none."""
        return 1.0 - (self.paired / self.unpaired) ** 2 if self.unpaired > 0 else 0.0


def shared(first: Influences, second: Influences) -> Shared | None:
    """What two trials' difference owes to the choice of rows; None where no task has two rows or more that both answered."""
    tasks = [task for task, rows in first.items() if len(rows) > 1 and len(second.get(task, ())) == len(rows)]
    if not tasks:
        return None

    def error(variances: Sequence[float]) -> float:
        return float(sum(variances) ** 0.5 / len(tasks))

    return Shared(
        paired=error([_variance([a - b for a, b in zip(first[task], second[task], strict=True)]) for task in tasks]),
        unpaired=error([_variance(first[task]) + _variance(second[task]) for task in tasks]),
    )


def _variance(rows: Sequence[float]) -> float:
    """Of their mean."""
    return statistics.variance(rows) / len(rows)


@dataclass(frozen=True, kw_only=True)
class CommonNumbers:
    """The gain over all pairs of a sweep's complete trials."""

    pairs: int
    paired: float
    """Medians over the pairs, as in `Shared`."""
    unpaired: float
    removed: float

    @property
    def sentence(self) -> str:
        """One line for the report."""
        gain = f"{self.removed:.0%} of the variance is gone" if self.removed > 0 else "they remove no variance here"
        return (
            f"Trials share seeds, nested data and evaluation rows: {gain} from the difference of two in the mean over trained "
            f"tasks, whose standard error from the choice of rows is {wording.number(self.paired, 2)} points where rows of their "
            f"own would give {wording.number(self.unpaired, 2)} (medians over {wording.plural(self.pairs, 'pair')} of trials)."
        )


def common_numbers(folder: RunFolder) -> CommonNumbers | None:
    """None where fewer than two complete trials left what their rows added."""
    complete = [trial.trial_id for trial in folder.trials if trial.status == "complete"]
    tables = [table for trial_id in complete if (table := _read(folder, trial_id))]
    pairs = itertools.islice(itertools.combinations(tables, 2), MOST_PAIRS)
    found = [one for first, second in pairs if (one := shared(first, second)) is not None and one.unpaired > 0]
    if not found:
        return None
    return CommonNumbers(
        pairs=len(found),
        paired=statistics.median(one.paired for one in found),
        unpaired=statistics.median(one.unpaired for one in found),
        removed=statistics.median(one.removed for one in found),
    )


def _read(folder: RunFolder, trial_id: str) -> Influences:
    try:
        found = json.loads((folder.path / "trials" / trial_id / ROWS_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
