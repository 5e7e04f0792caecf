"""The report as Markdown, for papers, tickets and terminals: the tables of the page without its pictures and samples.

What comes in: a RunFolder. What goes out: the text of `report.md`. Numbers are those of the page, from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mixwright.report import cells, details, readings, wording
from mixwright.report.asked import asked_systems
from mixwright.report.common_numbers import common_numbers
from mixwright.report.run_folder import RunFolder
from mixwright.report.samples import Samples
from mixwright.report.seed_variance import Spread, seed_groups
from mixwright.report.table import TableRow, changed_systems, table_rows
from mixwright.report.verdict import verdict

MOST_ERROR_TYPES = 12


def markdown(folder: RunFolder, samples: Samples | None) -> str:
    """The whole of report.md."""
    rows = table_rows(folder.run)
    answer = verdict(folder)
    blocks = [
        f"# {escaped(folder.run.name)}",
        f"*{escaped(folder.run.question)}*" if folder.run.question else "",
        f"**{escaped(answer.headline)}**",
        escaped(answer.summary),
        bullets([f"{fact.label}: {fact.value} ({fact.detail})" for fact in answer.facts]),
        bullets([*answer.caveats, *folder.notices]),
        *_results(folder, rows),
        *_power(rows),
        *_details(rows),
        *_answer(folder),
        *_seeds(folder),
        *_shared_rows(folder),
        *_systems(folder),
        *_counts(samples),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escaped(text: str) -> str:
    """Text of others on one line, so that it cannot open a tag, a table cell or a link."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)) -> str:
    """A Markdown table; the columns `words` stand left, figures right."""
    rule = ["---" if column in words else "---:" for column in range(len(headings))]
    lines = [[escaped(cell) for cell in headings], rule, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _answer(folder: RunFolder) -> Iterator[str]:
    if folder.run.answer:
        yield "## What the search says"
        yield bullets(folder.run.answer.sentences)


def _results(folder: RunFolder, rows: Sequence[TableRow]) -> Iterator[str]:
    yield "## Results by task"
    if not rows:
        yield "The final evaluation has not run."
        return
    systems = [system.name for system in asked_systems(folder)]
    headings = ["Task", "Metric", "n", *(wording.system_label(name) for name in systems)]
    yield table(headings, [_result_cells(row, systems) for row in rows], words=(0, 1))
    found = (reading for row in rows for name in systems if (reading := row.reading(name)) is not None)
    legend = "; ".join(f"{reading.glyph} {reading.legend}" for reading in readings.met(found))
    yield (
        f"{folder.split.capitalize()} rows. Scores 0 to 100, higher is better; in brackets 95 % bootstrap intervals over rows. "
        f"\\* unseen: never trained. {escaped(legend)}."
    )
    for name in changed_systems(rows):
        yield f"### {escaped(wording.system_label(name))} minus base"
        yield _difference_table(rows, name)


def _result_cells(row: TableRow, systems: Sequence[str]) -> list[str]:
    return [task_name(row), wording.metric_label(row.metric), f"{row.n:,}", *(score_cell(row, name) for name in systems)]


def task_name(row: TableRow) -> str:
    return wording.task_label(row.task) + ("" if row.seen or row.is_mean else " *")


def score_cell(row: TableRow, system: str) -> str:
    """`31.0 (28.0–34.2) ▲`, with the number of rows where it is not the row's own."""
    score, reading = row.scores.get(system), row.reading(system)
    if score is None:
        return cells.NONE
    interval = cells.score_interval(score)
    parts = [wording.number(score.value), f"({interval})" if interval else "", f"n = {score.n:,}" if score.n != row.n else ""]
    return " ".join(part for part in (*parts, reading.glyph if reading else "") if part)


def _difference_table(rows: Sequence[TableRow], system: str) -> str:
    lines = []
    for row in rows:
        item, reading = row.differences.get(system), row.reading(system)
        if item is not None and reading is not None:
            figures = (wording.signed(item.value), wording.interval(item.low, item.high), f"{item.n:,}")
            tests = (cells.p_value(item.p_value), cells.p_value(item.p_corrected))
            lines.append((task_name(row), *figures, *tests, f"{reading.glyph} {reading.words}"))
    return table(("Task", "Difference", "95 % interval", "n", "p", "p (Holm)", "Reading"), lines, words=(0, 6))


def _power(rows: Sequence[TableRow]) -> Iterator[str]:
    lines = []
    for row in rows:
        power = row.power
        if power is not None:
            shown = (wording.number(power.detectable), wording.number(power.interesting), cells.rows_needed(power))
            lines.append((task_name(row), f"{power.n:,}", *shown, "no" if power.underpowered else "yes"))
    if lines:
        yield "## What these rows can show"
        yield table(("Task", "n", "Smallest difference shown", "Matters", "Rows needed", "Enough"), lines, words=(0, 5))
        yield "Differences in points, with 80 % power at 5 %, two-sided."


def _details(rows: Sequence[TableRow]) -> Iterator[str]:
    for title, tables in (("Edits", details.edit_tables(rows)), ("Parts of SARI", details.sari_tables(rows))):
        for item in tables:
            yield f"## {title}: {escaped(wording.task_label(item.task))}, n = {item.n:,}"
            lines = [(wording.system_label(name), *(wording.number(value) for value in values)) for name, values in item.rows]
            yield table(("System", *item.columns), lines)
    for types in details.error_types(rows):
        yield f"## Error types: {escaped(wording.task_label(types.task))}"
        lines = [(kind, *(_type_cell(found.get(name)) for name in types.systems)) for kind, found in types.rows[:MOST_ERROR_TYPES]]
        yield table(("Type", *(wording.system_label(name) for name in types.systems)), lines)
        rest = len(types.rows) - len(lines)
        yield "F0.5 (tp/fp/fn). " + (f"{wording.plural(rest, 'rarer type')} in `error_types.csv`." if rest > 0 else "")


def _type_cell(counts: details.TypeCounts | None) -> str:
    return f"{wording.number(counts.f_half)} ({counts.tp}/{counts.fp}/{counts.fn})" if counts else cells.NONE


def _seeds(folder: RunFolder) -> Iterator[str]:
    groups = seed_groups(folder.trials)
    if groups:
        yield "## Repeated over seeds"
        lines = [
            (
                wording.mix_phrase(group.params) or "as configured",
                str(group.n),
                *(_spread(group.seen), _spread(group.unseen), _spread(group.retention, digits=3)),
            )
            for group in groups
        ]
        yield table(("Point", "Seeds", "Seen", "Unseen", "Retention"), lines)
        yield "Dev means ± standard deviation between seeds ± standard error from the choice of rows."


def _shared_rows(folder: RunFolder) -> Iterator[str]:
    if found := common_numbers(folder):
        yield "## Common random numbers"
        line = (str(found.pairs), wording.number(found.paired, 2), wording.number(found.unpaired, 2), f"{found.removed:.0%}")
        yield table(("Pairs of trials", "Standard error, shared rows", "Standard error, own rows", "Variance removed"), [line])
        yield found.sentence


def _spread(spread: Spread | None, digits: int = 1) -> str:
    if spread is None:
        return cells.NONE
    return " ± ".join(wording.number(value, digits) for value in (spread.mean, spread.between_seeds, spread.over_rows))


def _systems(folder: RunFolder) -> Iterator[str]:
    asked = asked_systems(folder)
    if asked:
        yield "## Systems"
        lines = [
            (
                wording.system_label(item.name),
                item.origin or cells.NONE,
                item.decoding or cells.NONE,
                item.usage or cells.NONE,
                cells.NONE if item.retention is None else wording.signed(item.retention, 3),
                item.file.name if item.file else cells.NONE,
            )
            for item in asked
        ]
        yield table(
            ("System", "What it is", "Decoding", "Usage", "Retention (nats a token)", "Predictions"), lines, words=(0, 1, 2, 3, 5)
        )


def _counts(samples: Samples | None) -> Iterator[str]:
    if samples is None:
        return
    yield "## Rows handed back unchanged"
    headings = ("Task", "Rows", "Right as they are", *(wording.system_label(name) for name in samples.systems))
    lines = [
        (
            *(wording.task_label(task.task), f"{task.n:,}", f"{task.right_as_they_are:,}"),
            *(f"{task.unchanged[name]:,}" for name in samples.systems),
        )
        for task in samples.tasks
    ]
    yield table(headings, lines)
