"""The questions of an evaluation as a file, for evaluators outside this project (harness/ is one of them).

What comes in: `Questions`. What goes out: a row each, complete in itself: the message word for word, the limit of new tokens, and
what the answer is scored against. Whoever asks and scores these gets our numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixwright.evaluate.systems import Questions
from mixwright.prompts import user_message


@dataclass(frozen=True, kw_only=True)
class ExportedRow:
    """One question."""

    id: str
    task: str
    metric: str
    """Of the task; see `evaluate.metric`."""
    message: str
    """The user's turn: instruction and text as every system is asked them."""
    instruction: str
    text: str
    references: tuple[str, ...]
    max_new_tokens: int
    """Answers are cut after so many tokens."""


def exported_rows(questions: Questions) -> list[ExportedRow]:
    """All questions, in their order."""
    return [
        ExportedRow(
            id=row.example.id,
            task=row.task,
            metric=questions.scenario.task(row.task).metric,
            message=user_message(row.instruction, row.example.text),
            instruction=row.instruction,
            text=row.example.text,
            references=row.example.references,
            max_new_tokens=questions.max_new_tokens,
        )
        for row in questions.rows
    ]
