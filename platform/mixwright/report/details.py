"""What stands behind a score: precision, recall and over-correction, error types, and the parts of SARI.

What comes in: the rows of the final table, whose scores carry these. What goes out: typed rows for the tables of edits. A run that
did not record them gives none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixwright.records import COPY, Score
from mixwright.report import wording
from mixwright.report.table import TableRow

EDIT_COLUMNS = ("precision", "recall", "over_correction")
SARI_COLUMNS = ("add", "keep", "delete")
_BETA = 0.5


@dataclass(frozen=True, kw_only=True)
class DetailTable:
    """One task: a system's score and its parts, a row a system."""

    task: str
    n: int
    columns: tuple[str, ...]
    """The score's label first, then the parts."""
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    """System and its values, None where a part is not defined."""


@dataclass(frozen=True, kw_only=True)
class TypeCounts:
    """Edits of one error type by one system."""

    tp: int
    fp: int
    fn: int

    @property
    def f_half(self) -> float:
        """F0.5, 0 to 100, with ERRANT's convention that nothing wrong is a precision of 1 and nothing missed a recall of 1."""
        precision = self.tp / (self.tp + self.fp) if self.fp else 1.0
        recall = self.tp / (self.tp + self.fn) if self.fn else 1.0
        weighted = _BETA**2 * precision + recall
        return 100 * (1 + _BETA**2) * precision * recall / weighted if weighted else 0.0


@dataclass(frozen=True, kw_only=True)
class ErrorTypes:
    """One task's error types, the most frequent in the references first, then those that only systems brought in."""

    task: str
    systems: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, TypeCounts]], ...]
    """ERRANT's type -> system -> its counts; a system that neither met nor made one is left out."""


def edit_tables(rows: Sequence[TableRow]) -> tuple[DetailTable, ...]:
    """Precision, recall, F0.5 and over-correction by system, for each task that ERRANT scores."""
    return _detail_tables(rows, EDIT_COLUMNS)


def sari_tables(rows: Sequence[TableRow]) -> tuple[DetailTable, ...]:
    """F1 of what was added, kept and deleted, for each task that SARI scores."""
    return _detail_tables(rows, SARI_COLUMNS)


def _detail_tables(rows: Sequence[TableRow], columns: Sequence[str]) -> tuple[DetailTable, ...]:
    tables = []
    for row in rows:
        scores = [score for score in row.scores.values() if any(column in score.details for column in columns)]
        if scores:
            values = tuple((score.system, _values(score, columns)) for score in scores)
            names = (wording.metric_label(row.metric), *(column.replace("_", "-") for column in columns))
            tables.append(DetailTable(task=row.task, n=row.n, columns=names, rows=values))
    return tuple(tables)


def _values(score: Score, columns: Sequence[str]) -> tuple[float | None, ...]:
    return (score.value, *(score.details.get(column) for column in columns))


def error_types(rows: Sequence[TableRow]) -> tuple[ErrorTypes, ...]:
    """A table for each task whose scores hold error types. The copy is left out: it finds none and makes none."""
    tables = []
    for row in rows:
        scores = {name: score for name, score in row.scores.items() if score.error_types and name != COPY}
        if scores:
            counts = {
                name: {kind: TypeCounts(**numbers) for kind, numbers in score.error_types.items()} for name, score in scores.items()
            }
            kinds = sorted({kind for found in counts.values() for kind in found}, key=lambda kind: _rank(kind, counts))
            by_kind = tuple((kind, {name: found[kind] for name, found in counts.items() if kind in found}) for kind in kinds)
            tables.append(ErrorTypes(task=row.task, systems=tuple(scores), rows=by_kind))
    return tuple(tables)


def _rank(kind: str, counts: dict[str, dict[str, TypeCounts]]) -> tuple[int, int, str]:
    """Falling number of such edits in the references, as any system met them, then of wrong ones."""
    met = [found[kind] for found in counts.values() if kind in found]
    return -max(one.tp + one.fn for one in met), -sum(one.fp for one in met), kind
