"""The final table: what each task scored as it was, copied, by people, tuned, and by whatever else was asked.

What comes in: a RunRecord after the final evaluation, with any number of systems; a system may lack a task. What goes out: typed
rows, from which the page, `report.md`, the CSV files and the text table are all drawn. Rows stand in the base model's order of
tasks, seen before unseen, means after each; systems as `ordered_systems` has them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixwright.records import BASE, COPY, HUMAN, Difference, PowerRecord, RunRecord, Score, SystemRecord
from mixwright.report import readings, wording
from mixwright.report.run_folder import best_system

MEAN_OF_SEEN = "mean of seen"
MEAN_OF_UNSEEN = "mean of unseen"
ALWAYS_THERE = (BASE, COPY, HUMAN)
"""Systems that no one tuned, in the order in which they head every table."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One task, or the mean over the tasks of one kind."""

    task: str
    """A task's name, or `mean of seen` / `mean of unseen`."""
    metric: str
    """Empty for means, which run over the tasks' own metrics."""
    n: int
    seen: bool
    is_mean: bool
    scores: Mapping[str, Score]
    """System -> its score; systems that lack the task are left out."""
    differences: Mapping[str, Difference]
    """System -> its paired difference to base."""
    powers: Mapping[str, PowerRecord]
    """System -> whether its rows can show what would matter; empty in runs that did not ask."""
    lead: str
    """The system that the report is about; empty where none was tuned."""

    @property
    def base(self) -> Score | None:
        return self.scores.get(BASE)

    @property
    def copy(self) -> Score | None:
        return self.scores.get(COPY)

    @property
    def human(self) -> Score | None:
        """Each reference against the others; None where rows have one reference."""
        return self.scores.get(HUMAN)

    @property
    def best(self) -> Score | None:
        return self.scores.get(self.lead)

    @property
    def difference(self) -> Difference | None:
        """Best minus base, paired."""
        return self.differences.get(self.lead)

    @property
    def power(self) -> PowerRecord | None:
        """Whether the rows behind best's difference can show what would matter."""
        return self.powers.get(self.lead)

    def reading(self, system: str) -> readings.Reading | None:
        """What the difference of a system to base allows to say; None where there is none, as for base itself."""
        difference = self.differences.get(system)
        return readings.read(difference, self.powers.get(system)) if difference else None

    @property
    def outcome(self) -> wording.Outcome:
        return wording.outcome(self.difference)

    @property
    def copy_is_as_good(self) -> bool:
        """Handing the input back scores at least as high as the tuned model."""
        return self.copy is not None and self.best is not None and self.copy.value >= self.best.value


def ordered_systems(run: RunRecord) -> tuple[SystemRecord, ...]:
    """Base, copy and human, then the system that the report is about, then the others as they were evaluated."""
    lead = best_system(run)
    fixed = [system for name in ALWAYS_THERE for system in run.systems if system.name == name]
    others = [system for system in run.systems if system not in fixed and system is not lead]
    return (*fixed, *([lead] if lead else []), *others)


def table_rows(run: RunRecord) -> tuple[TableRow, ...]:
    """Rows of the final table; empty before the final evaluation. A mean row stands where it covers two tasks or more."""
    systems = ordered_systems(run)
    lead = best_system(run)
    by_need = sorted(systems, key=lambda system: (system.name != BASE, system is not lead))
    known = [score for system in by_need for score in system.scores if score.task not in (MEAN_OF_SEEN, MEAN_OF_UNSEEN)]
    tasks = {score.task: score.seen for score in known}
    rows: list[TableRow] = []
    for seen, mean_name in ((True, MEAN_OF_SEEN), (False, MEAN_OF_UNSEEN)):
        group = [_task_row(task, systems, lead) for task, is_seen in tasks.items() if is_seen == seen]
        rows += group
        if len(group) > 1:
            rows.append(_mean_row(mean_name, group, systems, lead))
    return tuple(rows)


def _task_row(task: str, systems: Sequence[SystemRecord], lead: SystemRecord | None) -> TableRow:
    scores = {system.name: score for system in systems if (score := _score(system, task)) is not None}
    shown = next(scores[name] for name in (lead.name if lead else BASE, BASE, COPY, *scores) if name in scores)
    return TableRow(
        task=task,
        metric=shown.metric,
        n=shown.n,
        seen=shown.seen,
        is_mean=False,
        scores=scores,
        differences=_differences(task, systems),
        powers=_powers(task, systems),
        lead=lead.name if lead else "",
    )


def _mean_row(name: str, group: Sequence[TableRow], systems: Sequence[SystemRecord], lead: SystemRecord | None) -> TableRow:
    means = {system.name: _score(system, name) or _mean([row.scores.get(system.name) for row in group], name) for system in systems}
    return TableRow(
        task=name,
        metric="",
        n=sum(row.n for row in group),
        seen=name == MEAN_OF_SEEN,
        is_mean=True,
        scores={system: score for system, score in means.items() if score is not None},
        differences=_differences(name, systems),
        powers=_powers(name, systems),
        lead=lead.name if lead else "",
    )


def _mean(scores: Sequence[Score | None], name: str) -> Score | None:
    """A mean without an interval (both ends NaN); None where a task lacks its score."""
    present = [score for score in scores if score is not None]
    if not present or len(present) < len(scores):
        return None
    return Score(
        task=name,
        metric="",
        system=present[0].system,
        value=statistics.fmean(score.value for score in present),
        n=sum(score.n for score in present),
        low=float("nan"),
        high=float("nan"),
        split=present[0].split,
        seen=present[0].seen,
    )


def _score(system: SystemRecord, task: str) -> Score | None:
    return next((score for score in system.scores if score.task == task), None)


def _differences(task: str, systems: Sequence[SystemRecord]) -> dict[str, Difference]:
    return {system.name: item for system in systems for item in system.differences if item.task == task}


def changed_systems(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """Systems of which differences to base are known, the one that the report is about first."""
    names = dict.fromkeys(name for row in rows for name in row.scores if any(name in other.differences for other in rows))
    return tuple(sorted(names, key=lambda name: name != rows[0].lead))


def unrecorded(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """A sentence on what an older run did not record of its scores; nothing before the final evaluation."""
    differences = [item for row in rows for item in row.differences.values()]
    missing = {
        "p-values (signs rest on intervals alone)": bool(differences) and all(item.p_value is None for item in differences),
        "how large a difference its rows can show": bool(differences) and not any(row.powers for row in rows),
        "precision, recall and error types": bool(rows) and not any(score.details for row in rows for score in row.scores.values()),
    }
    names = [name for name, is_missing in missing.items() if is_missing]
    return (f"This run did not record {wording.listed(names)}.",) if names else ()


def _powers(task: str, systems: Sequence[SystemRecord]) -> dict[str, PowerRecord]:
    return {system.name: item for system in systems for item in system.power if item.task == task}
