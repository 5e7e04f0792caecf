"""A scenario is data: its tasks, their metric, their wordings, and which are seen in training.

What comes in: the name of a scenario shipped in this folder, or a path to a YAML file of the same shape. What goes out:
a validated `Scenario`. Another scenario needs no code.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mixwright.errors import ConfigError, did_you_mean
from mixwright.records import GENERIC, MetricName
from mixwright.settings import Settings, load_yaml, validate

FOLDER = Path(__file__).parent


class Instructions(Settings):
    """Differently worded instructions of one task; the two lists must not overlap."""

    train: tuple[str, ...] = Field(min_length=1)
    """Wordings that training rows are bound to; a held-out task has them too, for the trial in which it is seen."""
    evaluation: tuple[str, ...] = Field(min_length=1)
    """Wordings kept for evaluation, so that a score is not one of memorised phrases."""


class Task(Settings):
    """One thing that the scenario's model is asked to do."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    metric: MetricName
    seen: bool = True
    """False: held out of training unless a search space says otherwise."""
    instructions: Instructions

    @model_validator(mode="after")
    def _wordings_are_disjoint(self) -> Self:
        if shared := set(self.instructions.train) & set(self.instructions.evaluation):
            raise ValueError(f"task '{self.name}': {min(shared)!r} stands in train and in evaluation; keep it in one of them")
        if self.name == GENERIC:
            raise ValueError(f"a task cannot be named '{GENERIC}': that name is taken by the generic instructions")
        return self


class Scenario(Settings):
    """Tasks in the order in which tables show them."""

    name: str
    description: str = ""
    tasks: tuple[Task, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [task.name for task in self.tasks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"tasks {', '.join(twice)} are declared twice; give each its own name")
        return self

    @property
    def seen(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks if task.seen)

    @property
    def unseen(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks if not task.seen)

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            ConfigError: the scenario has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        names = [task.name for task in self.tasks]
        raise ConfigError(f"scenario '{self.name}': unknown task '{name}'; it has {', '.join(names)}{did_you_mean(name, names)}")

    def with_unseen(self, unseen: tuple[str, ...] | None) -> Scenario:
        """The same scenario with exactly these tasks held out; None leaves it as it is.

        Raises:
            ConfigError: an unknown task, or no task left to train.
        """
        if unseen is None:
            return self
        for name in unseen:
            self.task(name)
        if len(set(unseen)) == len(self.tasks):
            raise ConfigError(f"scenario '{self.name}': every task is unseen; leave at least one to train on")
        tasks = tuple(task.model_copy(update={"seen": task.name not in unseen}) for task in self.tasks)
        return self.model_copy(update={"tasks": tasks})


def wording(task: Task, example_id: str, *, evaluation: bool, seed: int) -> str:
    """The instruction bound to one row: a seeded choice by the row's id, so it does not move when rows are added."""
    choices = task.instructions.evaluation if evaluation else task.instructions.train
    digest = hashlib.blake2b(f"wording|{seed}|{task.name}|{example_id}".encode(), digest_size=8).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]


@functools.cache
def shipped() -> tuple[str, ...]:
    """Names of the scenarios in this folder."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_scenario(name: str, folder: Path | None = None) -> Scenario:
    """Loads a shipped scenario by name, or a YAML file by path (relative paths count from `folder`).

    Raises:
        ConfigError: no such scenario or file, or it breaks a rule; all problems are listed at once.
    """
    if name in shipped():
        path = FOLDER / f"{name}.yaml"
    elif name.endswith((".yaml", ".yml")):
        path = (folder or Path()) / name
    else:
        hint = did_you_mean(name, shipped())
        raise ConfigError(f"scenario: no shipped scenario '{name}'; shipped are {', '.join(shipped())}, or give a .yaml file{hint}")
    return validate(Scenario, load_yaml(path), where=str(path))
