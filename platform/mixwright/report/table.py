"""The final table: what each task scored as it was, copied, and tuned.

What comes in: a RunRecord after the final evaluation. What goes out: typed rows, from which the page draws its table, and the
plain-text table that a sweep ends with. Rows stand in the base model's order of tasks, seen before unseen, means after each.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mixwright.records import BASE, COPY, HUMAN, Difference, PowerRecord, RunRecord, Score, SystemRecord
from mixwright.report import wording
from mixwright.report.run_folder import best_system

MEAN_OF_SEEN = "mean of seen"
MEAN_OF_UNSEEN = "mean of unseen"
_UNDERPOWERED = "!"
_LEFT_ALIGNED = ("task", "metric", "best - base (95 %)", "")


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
    base: Score | None
    copy: Score | None
    best: Score | None
    difference: Difference | None
    """Best minus base, paired."""
    human: Score | None = None
    """Each reference against the others; None where rows have one reference."""
    power: PowerRecord | None = None
    """Whether the rows behind the difference can show what would matter."""

    @property
    def outcome(self) -> wording.Outcome:
        return wording.outcome(self.difference)

    @property
    def copy_is_as_good(self) -> bool:
        """Handing the input back scores at least as high as the tuned model."""
        return self.copy is not None and self.best is not None and self.copy.value >= self.best.value


def table_rows(run: RunRecord) -> tuple[TableRow, ...]:
    """Rows of the final table; empty before the final evaluation. A mean row stands where it covers two tasks or more."""
    systems = {system.name: system for system in run.systems}
    best = best_system(run)
    known = [score for system in (systems.get(BASE), best, systems.get(COPY)) if system for score in system.scores]
    tasks = {score.task: score.seen for score in known if score.task not in (MEAN_OF_SEEN, MEAN_OF_UNSEEN)}
    rows: list[TableRow] = []
    for seen, mean_name in ((True, MEAN_OF_SEEN), (False, MEAN_OF_UNSEEN)):
        names = [task for task, is_seen in tasks.items() if is_seen == seen]
        group = [_task_row(task, systems, best) for task in names]
        rows += group
        if len(group) > 1:
            rows.append(_mean_row(mean_name, group, systems, best))
    return tuple(rows)


def _task_row(task: str, systems: dict[str, SystemRecord], best: SystemRecord | None) -> TableRow:
    base, copy, human, tuned = (_score(system, task) for system in (*map(systems.get, (BASE, COPY, HUMAN)), best))
    shown = next(score for score in (tuned, base, copy) if score is not None)
    return TableRow(
        task=task,
        metric=shown.metric,
        n=shown.n,
        seen=shown.seen,
        is_mean=False,
        base=base,
        copy=copy,
        best=tuned,
        difference=_difference(best, task),
        human=human,
        power=_power(best, task),
    )


def _mean_row(name: str, group: Sequence[TableRow], systems: dict[str, SystemRecord], best: SystemRecord | None) -> TableRow:
    return TableRow(
        task=name,
        metric="",
        n=sum(row.n for row in group),
        seen=name == MEAN_OF_SEEN,
        is_mean=True,
        base=_score(systems.get(BASE), name) or _mean([row.base for row in group], name),
        copy=_score(systems.get(COPY), name) or _mean([row.copy for row in group], name),
        best=_score(best, name) or _mean([row.best for row in group], name),
        difference=_difference(best, name),
        human=_mean([row.human for row in group], name),
        power=_power(best, name),
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
        seen=present[0].seen,
    )


def _score(system: SystemRecord | None, task: str) -> Score | None:
    return next((score for score in system.scores if score.task == task), None) if system else None


def _difference(system: SystemRecord | None, task: str) -> Difference | None:
    return next((item for item in system.differences if item.task == task), None) if system else None


def _power(system: SystemRecord | None, task: str) -> PowerRecord | None:
    return next((item for item in system.power if item.task == task), None) if system else None


def final_table(run: RunRecord) -> str:
    """The final table as plain ASCII text of aligned columns, ending in what its marks mean."""
    rows = table_rows(run)
    if not rows:
        return f"{run.name}: the final evaluation has not run, so there is no table yet; --resume goes on from there"
    columns = _columns(rows, run)
    lines = [_aligned(line, columns) for line in zip(*columns, strict=True)]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:], rule, *_legend(rows)])


def _columns(rows: Sequence[TableRow], run: RunRecord) -> list[list[str]]:
    """Each column from its heading down to the line of retention; those that nothing fills are left out."""
    best = best_system(run)
    kept = "" if best is None or best.retention is None else f"{wording.signed(best.retention, 3):>6}"
    columns = [
        ["task", *(row.task if row.is_mean or row.seen else f"{row.task} *" for row in rows), "generic retention"],
        ["metric", *(wording.metric_label(row.metric) for row in rows), "nats a token"],
        ["n", *(str(row.n) for row in rows), ""],
        ["base", *(_value(row.base) for row in rows), "0"],
        ["copy", *(_value(row.copy) for row in rows), ""],
    ]
    if any(row.human for row in rows):
        columns.append(["human", *(_value(row.human) for row in rows), ""])
    columns += [
        ["best", *(_value(row.best) for row in rows), ""],
        ["best - base (95 %)", *(_change(row.difference) for row in rows), kept],
    ]
    if any(row.difference and row.difference.p_corrected is not None for row in rows):
        columns.append(["p Holm", *(_p_value(row.difference) for row in rows), ""])
    if any(row.power for row in rows):
        columns.append(["shows", *(_shows(row.power) for row in rows), ""])
    columns.append(["", *(row.outcome for row in rows), ""])
    return [[_ascii(cell) for cell in (column if kept else column[:-1])] for column in columns]


def _value(score: Score | None) -> str:
    return wording.number(score.value) if score else "-"


def _change(change: Difference | None) -> str:
    return f"{wording.signed(change.value):>6} ({wording.interval(change.low, change.high)})" if change else "-"


def _p_value(difference: Difference | None) -> str:
    if difference is None or difference.p_corrected is None:
        return "-"
    return f"{difference.p_corrected:.3f}" if difference.p_corrected >= 0.001 else "<0.001"


def _shows(power: PowerRecord | None) -> str:
    if power is None:
        return "-"
    size = "-" if power.detectable is None else wording.number(power.detectable)
    return f"{size} {_UNDERPOWERED}" if power.underpowered else f"{size}  "


def _legend(rows: Sequence[TableRow]) -> Iterator[str]:
    if any(not row.seen for row in rows):
        yield "* unseen: never trained"
    yield "scores 0 to 100, higher is better; copy: the input handed back; where an interval contains 0, no difference is shown"
    if any(row.human for row in rows):
        yield "human: each reference against the others, so against one reference fewer"
    if any(row.difference and row.difference.p_corrected is not None for row in rows):
        yield "p Holm: approximate randomisation, corrected over the tasks, and apart from them over the means"
    if any(row.power for row in rows):
        yield "shows: the smallest difference that the rows show with 80 % power, before correction"
    weak = next((row.power for row in rows if row.power and row.power.underpowered), None)
    if weak:
        yield f"{_UNDERPOWERED} underpowered: cannot show a difference of {weak.interesting:g} points; raise evaluation.test_rows"


def _aligned(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in columns]
    return "  ".join(
        cell.ljust(width) if column[0] in _LEFT_ALIGNED else cell.rjust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ).rstrip()


def _ascii(text: str) -> str:
    return text.replace("−", "-").replace("–", "-")
