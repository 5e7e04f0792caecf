"""Scores and differences as plain text in aligned columns, for a terminal.

What comes in: `SystemRecord`s, or the differences of two systems with what their rows can show. What goes out: lines. Intervals
are of 95 %; a task that is underpowered carries a mark, and the legend says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from mixwright.evaluate.runner import MEAN_OF_SEEN, MEAN_OF_UNSEEN, task_means
from mixwright.records import BASE, Difference, PowerRecord, Score, SystemRecord
from mixwright.scenarios import Scenario

UNDERPOWERED = "!"
NOTHING = "-"


def table_lines(systems: Sequence[SystemRecord]) -> list[str]:
    """The systems' scores side by side, a line a task, and below them each system's differences to base and its retention.

    A system without a score of a task, such as human where rows have one reference, has a dash.
    """
    if not systems:
        return []
    by_task = {system.name: {score.task: score for score in system.scores} for system in systems}
    tasks = {score.task: score for system in systems for score in system.scores}
    cells = [["task", "metric", "n", *by_task]]
    cells += [_task_cells(shown, [scores.get(task) for scores in by_task.values()]) for task, shown in tasks.items()]
    lines = aligned(cells)
    for system in systems:
        if system.differences:
            lines += ["", *difference_lines(f"{system.name} - {BASE}", system.differences, system.power)]
    if any(system.differences for system in systems):
        lines += ["", *legend([record for system in systems for record in system.power])]
    return [*lines, *(_retention_line(system) for system in systems if system.retention is not None and system.name != BASE)]


def seen_and_unseen_lines(scenario: Scenario, systems: Sequence[SystemRecord]) -> list[str]:
    """A line for the tasks that were trained and one for those that were held out: the systems' means, each task weighing the same.

    Behind the mean of a system stands its difference to base with its interval, where there is one. A system that lacks a score of
    one of the tasks, such as human, has a dash.
    """
    tasks = {score.task: score for system in systems for score in system.scores}
    cells = [["mean over tasks", "tasks", "rows", *(system.name for system in systems)]]
    for kind, mean in (("seen", MEAN_OF_SEEN), ("unseen", MEAN_OF_UNSEEN)):
        asked = [score for score in tasks.values() if score.seen == (kind == "seen")]
        if asked:
            names = {score.task for score in asked}
            counts = [str(len(names)), str(sum(score.n for score in asked))]
            cells.append([kind, *counts, *(_mean_cell(scenario, system, names, mean) for system in systems)])
    return aligned(cells)


def difference_lines(
    title: str,
    differences: Sequence[Difference],
    power: Sequence[PowerRecord],
    *,
    at_rows: Mapping[int, Mapping[str, float | None]] | None = None,
) -> list[str]:
    """A line a difference: value, p-values, the smallest difference that its rows show, and how many rows what matters needs.

    Args:
        title: what is subtracted from what; heads the first column.
        power: one for each of `differences`, or none at all.
        at_rows: other numbers of rows -> task -> the smallest difference that so many show; a column each.
    """
    by_task = {record.task: record for record in power}
    others = at_rows or {}
    needed = [f"rows for {power[0].interesting:g}"] if power else []
    cells = [[title, "n", "difference", "p", "p (Holm)", "shows", *needed, *(f"{rows} rows show" for rows in others)]]
    for item in differences:
        record = by_task.get(item.task)
        cells.append(
            [
                item.task,
                str(item.n),
                f"{item.value:+.1f} [{item.low:+.1f}, {item.high:+.1f}]",
                p_value(item.p_value),
                p_value(item.p_corrected),
                shown_difference(item.detectable, record),
                *([_whole(record.rows_needed)] if record else []),
                *(_points(table.get(item.task)) for table in others.values()),
            ]
        )
    return aligned(cells)


def legend(power: Sequence[PowerRecord]) -> list[str]:
    """What the columns of `difference_lines` mean."""
    lines = [
        "p: approximate randomisation, two-sided; Holm: corrected over the tasks, and apart from them over the means",
        "shows: the smallest difference that so many rows show with 80 % power at p <= 0.05, not corrected",
    ]
    if any(record.underpowered for record in power):
        lines.append(f"{UNDERPOWERED} underpowered: these rows cannot show a difference of {power[0].interesting:g} points")
    return lines


def p_value(value: float | None) -> str:
    """A p-value at three digits, or a dash."""
    return NOTHING if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"


def shown_difference(detectable: float | None, record: PowerRecord | None) -> str:
    """The smallest difference that rows show, marked where it is larger than what matters."""
    return f"{_points(detectable)} {UNDERPOWERED}" if record and record.underpowered else _points(detectable)


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _task_cells(shown: Score, scores: Sequence[Score | None]) -> list[str]:
    task = shown.task if shown.seen else f"{shown.task} (unseen)"
    values = (f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]" if score else NOTHING for score in scores)
    return [task, shown.metric, str(shown.n), *values]


def _mean_cell(scenario: Scenario, system: SystemRecord, tasks: Set[str], mean: str) -> str:
    values = {score.task: score.value for score in system.scores if score.task in tasks}
    if len(values) < len(tasks):
        return NOTHING
    means = task_means(scenario, values)
    found = means.seen if mean == MEAN_OF_SEEN else means.unseen
    difference = next((item for item in system.differences if item.task == mean), None)
    change = f" ({difference.value:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}])" if difference else ""
    return _points(found) + change


def _points(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _whole(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _retention_line(system: SystemRecord) -> str:
    return f"{system.name} retention: {system.retention:+.3f} nats a token against base (0: nothing lost)"
