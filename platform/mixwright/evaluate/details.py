"""What stands beside a score: precision, recall and over-correction of edits, SARI's three operations.

What comes in: a metric and the texts of one task. What goes out: `Details`, values of 0 to 100 by name and ERRANT's error types.
A metric without parts, such as GLEU, has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mixwright.evaluate.edit_report import EditReport, edit_report
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.metric import Metric
from mixwright.evaluate.ngrams import FloatArray
from mixwright.evaluate.sari import Sari, sari_parts


@dataclass(frozen=True, kw_only=True)
class Details:
    """As in `Score`."""

    values: dict[str, float] = field(default_factory=dict)
    error_types: dict[str, dict[str, int]] = field(default_factory=dict)


def describe(
    metric: Metric, statistics: FloatArray, sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> Details:
    """The details of one system on one task.

    Args:
        statistics: what `metric` made of the same texts. Edits are found again, from the memory of the shared extractor.
    """
    if isinstance(metric, EditF):
        return _of_edits(edit_report(metric.rows(sources, outputs, references)))
    if isinstance(metric, Sari):
        parts = sari_parts(statistics)
        return Details(values={"add": parts.add, "keep": parts.keep, "delete": parts.delete})
    return Details()


def _of_edits(report: EditReport) -> Details:
    values = {"precision": 100 * report.total.precision, "recall": 100 * report.total.recall}
    if report.clean_rows:
        values["over_correction"] = 100 * report.over_correction
    types = {kind: {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn} for kind, counts in report.by_type.items()}
    return Details(values=values, error_types=types)
