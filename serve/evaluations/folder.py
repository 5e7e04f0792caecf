"""An evaluation on disk: whatever happens to a replica or the application, its folder says how far it has come.

    evaluations/ID/
      rows.jsonl         the questions; an EvaluationRow a line
      request.json       a Plan; written after the rows, and what makes the folder count
      predictions.jsonl  a Prediction a line, appended and flushed to disk as answers arrive
      scores.json        Scores, written anew with each task that is scored
      COMPLETED, FAILED, CANCELLED   one of them, written last; FAILED holds the error

Half a line at the end of predictions.jsonl, as a kill leaves one, is dropped.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mixwright.errors import DataError
from mixwright.evaluate.runner import EvaluationRow
from mixwright.records import Prediction, from_json, read_jsonl, to_json, write_jsonl, write_text
from serve.evaluations.plan import Plan, Planned
from serve.evaluations.shapes import Scores
from serve.schema import ErrorDetail

logger = logging.getLogger(__name__)

REQUEST, ROWS, PREDICTIONS, SCORES = "request.json", "rows.jsonl", "predictions.jsonl", "scores.json"
End = Literal["completed", "failed", "cancelled"]
ENDS: tuple[End, ...] = ("completed", "failed", "cancelled")

Keep = Callable[[Sequence[Prediction]], None]


class EvaluationFolder:
    """One evaluation's files."""

    def __init__(self, path: Path) -> None:
        """Reads the plan.

        Raises:
            DataError: it cannot be read.
        """
        self.path = path
        try:
            self.plan = Plan.model_validate_json((path / REQUEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path / REQUEST}: not an evaluation of ours ({type(error).__name__}); remove the folder") from None

    @property
    def end(self) -> End | None:
        """How it ended; None while it has not."""
        return next((end for end in ENDS if (self.path / end.upper()).exists()), None)

    @property
    def error(self) -> ErrorDetail | None:
        try:
            return ErrorDetail.model_validate_json((self.path / "FAILED").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    @property
    def scores(self) -> Scores:
        try:
            return Scores.model_validate_json((self.path / SCORES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Scores()

    @property
    def answered(self) -> int:
        """Answers on disk."""
        try:
            with (self.path / PREDICTIONS).open("rb") as file:
                return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        except FileNotFoundError:
            return 0

    def rows(self) -> list[EvaluationRow]:
        return read_jsonl(self.path / ROWS, EvaluationRow)

    def predictions(self) -> Iterator[Prediction]:
        """What is answered, in the order in which it came."""
        return (from_json(Prediction, json.loads(line)) for line in self.lines())

    def lines(self) -> Iterator[str]:
        """The whole lines of the predictions, without their line ends."""
        try:
            with (self.path / PREDICTIONS).open(encoding="utf-8", newline="\n") as file:
                for line in file:
                    if line.endswith("\n"):
                        yield line.removesuffix("\n")
        except FileNotFoundError:
            return

    @contextmanager
    def appending(self) -> Iterator[Keep]:
        """A function that adds predictions; they are on disk when it returns."""
        path = self.path / PREDICTIONS
        _drop_half_a_line(path)
        with path.open("a", encoding="utf-8") as file:

            def keep(predictions: Sequence[Prediction]) -> None:
                file.write("".join(json.dumps(to_json(item), ensure_ascii=False) + "\n" for item in predictions))
                file.flush()
                os.fsync(file.fileno())

            yield keep

    def write_scores(self, scores: Scores) -> None:
        write_text(self.path / SCORES, scores.model_dump_json(indent=2) + "\n")

    def finish(self, end: End, content: str = "") -> None:
        """Marks it as ended."""
        write_text(self.path / end.upper(), content)

    def reopen(self) -> None:
        """Takes the mark of a failure or a cancellation away, so that it goes on with what is missing."""
        for end in ("failed", "cancelled"):
            (self.path / end.upper()).unlink(missing_ok=True)


class Store:
    """All evaluations of a run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self) -> list[EvaluationFolder]:
        """In the order in which they were asked for."""
        folders = []
        for path in self.root.glob(f"eval-*/{REQUEST}"):
            try:
                folders.append(EvaluationFolder(path.parent))
            except DataError as error:
                logger.warning("%s", error)
        return sorted(folders, key=lambda folder: (folder.plan.created, folder.plan.id))

    def open(self) -> list[EvaluationFolder]:
        """Those that have not ended, in the same order."""
        return [folder for folder in self.all() if folder.end is None]

    def find(self, evaluation_id: str) -> EvaluationFolder | None:
        """The evaluation of that id; any text may be asked for, and none leads out of the folder."""
        known = {path.parent.name for path in self.root.glob(f"eval-*/{REQUEST}")}
        return EvaluationFolder(self.root / evaluation_id) if evaluation_id in known else None

    def add(self, planned: Planned) -> EvaluationFolder:
        """The evaluation's folder, made where there is none, and opened again where it had failed or was cancelled."""
        if folder := self.find(planned.plan.id):
            folder.reopen()
            return folder
        path = self.root / planned.plan.id
        write_jsonl(path / ROWS, planned.rows)
        write_text(path / REQUEST, planned.plan.model_dump_json(indent=2) + "\n")
        return EvaluationFolder(path)


def _drop_half_a_line(path: Path) -> None:
    if not path.exists():
        return
    content: Any = path.read_bytes()
    if (whole := content.rfind(b"\n") + 1) != len(content):
        os.truncate(path, whole)
