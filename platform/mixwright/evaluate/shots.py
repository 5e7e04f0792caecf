"""Worked examples for models that were not tuned: K rows a task from the training split, each with a training wording.

What comes in: a scenario and its training rows. What goes out: shots by task, and the messages of a question with its shots
before it. The choice is by a hash of ids, the same for every question of a task, and nested: two shots are the first two of
four. Training rows share nothing with dev and test (`data.splits`), so no shot gives an answer away.

A task that is held out of training has no training rows. It stays held out here too: its questions are asked without shots, so
that `unseen` means the same for every system of the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixwright.errors import ConfigError, DataError
from mixwright.prompts import user_message
from mixwright.records import Example
from mixwright.scenarios import Scenario, Task, wording


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One worked example."""

    instruction: str
    text: str
    response: str


def choose_shots(
    scenario: Scenario, train: Mapping[str, Sequence[Example]], tasks: Sequence[str], *, count: int, seed: int
) -> dict[str, tuple[Shot, ...]]:
    """`count` shots of each of `tasks`; none of a held-out one.

    Args:
        train: training rows by task.

    Raises:
        ConfigError: `count` is below 0.
        DataError: a trained task has fewer rows than that.
    """
    if count < 0:
        raise ConfigError(f"--shots: must be 0 or more, got {count}")
    chosen = [scenario.task(name) for name in tasks]
    return {task.name: _shots(task, train.get(task.name, ()) if task.seen else (), count, seed) for task in chosen}


def _shots(task: Task, rows: Sequence[Example], count: int, seed: int) -> tuple[Shot, ...]:
    if task.seen and len(rows) < count:
        raise DataError(f"--shots: task '{task.name}' has {len(rows)} training rows, got {count}; ask for fewer")
    ranked = sorted(rows, key=lambda row: (_rank(seed, task.name, row.id), row.id))
    return tuple(
        Shot(instruction=wording(task, row.id, evaluation=False, seed=seed), text=row.text, response=row.references[0])
        for row in ranked[:count]
    )


def _rank(seed: int, task: str, example_id: str) -> int:
    digest = hashlib.blake2b(f"shots|{seed}|{task}|{example_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def chat_messages(instruction: str, text: str, shots: Sequence[Shot] = ()) -> list[dict[str, str]]:
    """The question as turns of a chat: shots as answered questions, then the question itself, each as our own models see it."""
    turns = [
        turn
        for shot in shots
        for turn in (
            {"role": "user", "content": user_message(shot.instruction, shot.text)},
            {"role": "assistant", "content": shot.response},
        )
    ]
    return [*turns, {"role": "user", "content": user_message(instruction, text)}]
