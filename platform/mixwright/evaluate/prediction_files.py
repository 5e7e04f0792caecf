"""One system's predictions from a file, refused where a score of them would be quietly wrong.

What comes in: a file of `Prediction` records, as sweeps and jobs/batch_evaluate.py write them. What goes out: the records, of one
system and of tasks that the scenario has, each row once and with references.
"""

from __future__ import annotations

from pathlib import Path

from mixwright.errors import DataError, ScoreError
from mixwright.evaluate.runner import task_rows
from mixwright.records import Prediction, read_jsonl
from mixwright.scenarios import Scenario


def read_predictions(path: Path, scenario: Scenario) -> list[Prediction]:
    """The predictions of a file.

    Raises:
        DataError: no such file, an empty one, a line that is no prediction, or predictions of several systems.
        ScoreError: as `task_rows`: an unknown task, a row that stands twice, a hole among the references.
    """
    predictions = read_jsonl(path, Prediction)
    if not predictions:
        raise DataError(f"{path}: holds no predictions, which no score is defined on; evaluate the system again")
    systems = sorted({item.system for item in predictions})
    if len(systems) > 1:
        raise DataError(f"{path}: must hold predictions of one system, got {', '.join(systems)}; give each a file of its own")
    try:
        task_rows(scenario, predictions)
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from None
    return predictions
