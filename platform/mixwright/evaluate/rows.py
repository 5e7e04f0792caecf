"""The check that stands in front of every metric.

What comes in: sources, outputs and references as a caller has them. What goes out: nothing, or a ScoreError that names the
row; a metric that was given lists of different lengths would otherwise pair the wrong sentences and print a plausible number.
"""

from __future__ import annotations

from collections.abc import Sequence

from mixwright.errors import ScoreError


def check_rows(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuses rows that no metric is defined on.

    Args:
        sources: one text a row; a blank one is allowed.
        outputs: one text a row; a blank one is allowed and scored as it stands.
        references: one list a row, at least one text in each and none of them blank.

    Raises:
        ScoreError: no rows, lists of different lengths, a row without references, a blank reference, or a plain string where
            a row's list of references belongs.
    """
    lengths = {"sources": len(sources), "outputs": len(outputs), "references": len(references)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise ScoreError(f"a metric needs one source, one output and one list of references a row, got {listed}; align them first")
    if not sources:
        raise ScoreError("a metric needs at least one row, got 0; the prediction file or the split is empty")
    for row, row_references in enumerate(references):
        _check_references(row, row_references)


def _check_references(row: int, references: Sequence[str]) -> None:
    if isinstance(references, str):
        raise ScoreError(
            f"row {row}: references must be a list of texts, got the single text {references[:40]!r}; put it in a list"
        )
    if not references:
        raise ScoreError(f"row {row}: at least one reference is needed, got 0; drop the row or fill the hole")
    for number, reference in enumerate(references):
        if not reference.strip():
            raise ScoreError(f"row {row}: reference {number} of {len(references)} is blank; drop the row or fill the hole")
