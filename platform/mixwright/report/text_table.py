"""The final table as plain text, with which a sweep ends.

What comes in: a RunRecord. What goes out: ASCII lines of aligned columns, ending in what their marks mean. Columns that nothing
fills, as in a run that recorded no p-values, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixwright.records import BASE, Difference, PowerRecord, RunRecord, Score
from mixwright.report import readings, wording
from mixwright.report.run_folder import best_system
from mixwright.report.table import TableRow, ordered_systems, table_rows

_UNDERPOWERED = "!"
_LEFT_ALIGNED = ("task", "metric", "")


def final_table(run: RunRecord) -> str:
    """The final table as plain ASCII text."""
    rows = table_rows(run)
    if not rows:
        return f"{run.name}: the final evaluation has not run, so there is no table yet; --resume goes on from there"
    columns = _columns(rows, run)
    lines = [_aligned(line, columns) for line in zip(*columns, strict=True)]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:], rule, *_legend(rows)])


def _columns(rows: Sequence[TableRow], run: RunRecord) -> list[list[str]]:
    """Each column from its heading down to the line of retention, which is there where it was measured."""
    best = best_system(run)
    kept = "" if best is None or best.retention is None else f"{wording.signed(best.retention, 3):>6}"
    columns = [
        ["task", *(row.task if row.is_mean or row.seen else f"{row.task} *" for row in rows), "generic retention"],
        ["metric", *(wording.metric_label(row.metric) for row in rows), "nats a token"],
        ["n", *(str(row.n) for row in rows), ""],
        *([name, *(_value(row.scores.get(name)) for row in rows), "0" if name == BASE else ""] for name in _systems(run)),
        [f"{best.name if best else 'best'} - base (95 %)", *(_change(row.difference) for row in rows), kept],
    ]
    if _has_p_values(rows):
        columns.append(["p Holm", *(_p_value(row.difference) for row in rows), ""])
    if any(row.power for row in rows):
        columns.append(["shows", *(_shows(row.power) for row in rows), ""])
    columns.append(["", *((row.reading(row.lead) or readings.NO_INTERVAL).words for row in rows), ""])
    return [[_ascii(cell) for cell in (column if kept else column[:-1])] for column in columns]


def _systems(run: RunRecord) -> list[str]:
    return [system.name for system in ordered_systems(run)]


def _has_p_values(rows: Sequence[TableRow]) -> bool:
    return any(row.difference and row.difference.p_corrected is not None for row in rows)


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
    return f"{wording.number(power.detectable)} {_UNDERPOWERED if power.underpowered else ' '}"


def _legend(rows: Sequence[TableRow]) -> Iterator[str]:
    if any(not row.seen for row in rows):
        yield "* unseen: never trained"
    yield "scores 0 to 100, higher is better; copy: the input handed back; where an interval contains 0, no difference is shown"
    if any(row.human for row in rows):
        yield "human: each reference against the others, so against one reference fewer"
    if _has_p_values(rows):
        yield "p Holm: approximate randomisation, corrected over the tasks, and apart from them over the means"
    found = [row.reading(row.lead) for row in rows]
    for reading in (readings.BETTER_ALONE, readings.WORSE_ALONE, readings.TEST_ALONE):
        if reading in found:
            yield f"{reading.words}: {reading.legend}"
    if any(row.power for row in rows):
        yield "shows: the smallest difference that the rows show with 80 % power, before correction"
    weak = next((row.power for row in rows if row.power and row.power.underpowered), None)
    if weak:
        yield f"{_UNDERPOWERED} underpowered: cannot show a difference of {weak.interesting:g} points; raise evaluation.test_rows"


def _aligned(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in columns]
    return "  ".join(
        cell.ljust(width) if column[0] in _LEFT_ALIGNED or column[0].endswith("(95 %)") else cell.rjust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ).rstrip()


def _ascii(text: str) -> str:
    return text.replace("−", "-").replace("–", "-")
