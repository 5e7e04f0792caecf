"""The final table as tidy CSV files for papers and spreadsheets: one number a column, one score, difference or error type a row.

What comes in: runs by name and the rows of their tables. What goes out: the text of `scores.csv`, `differences.csv` and
`error_types.csv`. Numbers are written in full, so that those of the page and of `report.md` are these, rounded.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mixwright.records import BASE
from mixwright.report import details, readings, wording
from mixwright.report.table import TableRow

_PARTS = (*details.EDIT_COLUMNS, *details.SARI_COLUMNS)
_SCORES = ("run", "split", "task", "seen", "metric", "system", "n", "value", "low", "high", *_PARTS)
_DIFFERENCES = ("run", "split", "task", "seen", "metric", "system", "baseline", "n", "value", "low", "high", "p_value", "p_holm")
_POWER = ("detectable", "matters", "rows_needed", "reading")
_TYPES = ("run", "split", "task", "system", "error_type", "tp", "fp", "fn", "f0.5")


@dataclass(frozen=True, kw_only=True)
class NamedTable:
    """A run's final table, under the name that the files give it."""

    run: str
    split: str
    rows: tuple[TableRow, ...]


def csv_files(tables: Sequence[NamedTable]) -> dict[str, str]:
    """File name -> content."""
    return {
        "scores.csv": csv_text(_SCORES, (line for table in tables for line in _score_lines(table))),
        "differences.csv": csv_text((*_DIFFERENCES, *_POWER), (line for table in tables for line in _difference_lines(table))),
        "error_types.csv": csv_text(_TYPES, (line for table in tables for line in _type_lines(table))),
    }


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV in UTF-8; empty cells for None and for what is not a number, `true` and `false` for booleans."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if wording.finite(value) is not None else ""
    return "" if value is None else str(value)


def _score_lines(table: NamedTable) -> Iterator[tuple[object, ...]]:
    for row in table.rows:
        for system, score in row.scores.items():
            parts = (score.details.get(name) for name in _PARTS)
            yield (
                *(table.run, table.split, row.task, row.seen, row.metric or "mean", system),
                *(score.n, score.value, score.low, score.high, *parts),
            )


def _difference_lines(table: NamedTable) -> Iterator[tuple[object, ...]]:
    for row in table.rows:
        for system, item in row.differences.items():
            power = row.powers.get(system)
            yield (
                *(table.run, table.split, row.task, row.seen, row.metric or "mean", system, BASE),
                *(item.n, item.value, item.low, item.high, item.p_value, item.p_corrected, item.detectable),
                *(power.interesting if power else None, power.rows_needed if power else None),
                readings.read(item, power).words,
            )


def _type_lines(table: NamedTable) -> Iterator[tuple[object, ...]]:
    for types in details.error_types(table.rows):
        for kind, by_system in types.rows:
            for system, counts in by_system.items():
                yield (table.run, table.split, types.task, system, kind, counts.tp, counts.fp, counts.fn, counts.f_half)
