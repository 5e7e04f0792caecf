"""Tables from ERRANT's counts: precision and recall, error types, over-correction.

What comes in: the rows that `EditF.rows` counted. What goes out: an `EditReport` of one system on one task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mixwright.evaluate.edits import EditCounts, RowEdits

UNKNOWN_TYPE = "UNK"


@dataclass(frozen=True, kw_only=True)
class EditReport:
    """What a system's edits were worth."""

    total: EditCounts
    by_type: dict[str, EditCounts]
    """By ERRANT's full type, such as `R:VERB:SVA`; right edits count under the type that the reference gives them."""
    clean_rows: int
    """Rows that no annotator changed."""
    clean_rows_edited: int
    """Those of them that the system changed all the same."""
    clean_edits: int
    """Edits on them: over-correction in the narrow sense."""

    @property
    def over_correction(self) -> float:
        """Share of the rows that needed no edit and got one, 0 to 1; 0 where every row needed one."""
        return self.clean_rows_edited / self.clean_rows if self.clean_rows else 0.0


def edit_report(rows: Sequence[RowEdits]) -> EditReport:
    """Sums up the rows of one system on one task."""
    clean = [row for row in rows if row.needed_none]
    return EditReport(
        total=sum((row.counts for row in rows), EditCounts()),
        by_type=_add_up((kind, counts) for row in rows for kind, counts in row.by_type.items()),
        clean_rows=len(clean),
        clean_rows_edited=sum(row.output_edits > 0 for row in clean),
        clean_edits=sum(row.output_edits for row in clean),
    )


def by_operation(by_type: dict[str, EditCounts]) -> dict[str, EditCounts]:
    """Types joined to missing (M), replaced (R) and unnecessary (U) words; `errant_compare -cat 1`."""
    return _joined(by_type, lambda kind: kind[0])


def by_category(by_type: dict[str, EditCounts]) -> dict[str, EditCounts]:
    """Types joined across operations, such as `VERB:SVA`; `errant_compare -cat 2`."""
    return _joined(by_type, lambda kind: kind[2:])


def _joined(by_type: dict[str, EditCounts], short: Callable[[str], str]) -> dict[str, EditCounts]:
    return _add_up((kind if kind == UNKNOWN_TYPE else short(kind), counts) for kind, counts in by_type.items())


def _add_up(items: Iterable[tuple[str, EditCounts]]) -> dict[str, EditCounts]:
    sums: dict[str, EditCounts] = {}
    for name, counts in items:
        sums[name] = sums.get(name, EditCounts()) + counts
    return dict(sorted(sums.items()))
