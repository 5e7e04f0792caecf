"""What keeps the numbers of several runs from being compared: other rows, another split, other metrics, another base model.

What comes in: run folders by name, the first of which the others are held against. What goes out: a sentence for each obstacle,
and the tasks that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mixwright.records import BASE, HUMAN, Prediction
from mixwright.report import wording
from mixwright.report.asked import phrase
from mixwright.report.run_folder import RunFolder
from mixwright.report.table import table_rows

RowKey = tuple[str, str, str, tuple[str, ...]]
"""Id, instruction, text and references: what a system was asked, and what its answer was held against."""


@dataclass(frozen=True, kw_only=True)
class Obstacles:
    """Why not every number of two runs can be compared."""

    warnings: tuple[str, ...]
    apart: Mapping[str, frozenset[str]]
    """Run -> tasks whose numbers cannot be held against the first run's."""


def obstacles(folders: Mapping[str, RunFolder]) -> Obstacles:
    """Everything that speaks against comparing each run with the first."""
    first, *others = folders
    warnings = [*_unfinished(folders), *_settings(folders)]
    apart: dict[str, frozenset[str]] = {first: frozenset()}
    for name in others:
        differing = dict(_differing_tasks(folders[first], folders[name]))
        apart[name] = frozenset(differing)
        for reason in dict.fromkeys(differing.values()):
            tasks = wording.listed([wording.task_label(task) for task, why in differing.items() if why == reason])
            warnings.append(f"{name} cannot be compared with {first} on {tasks}: {reason}.")
        warnings += _seen_here_unseen_there(first, folders[first], name, folders[name])
    return Obstacles(warnings=tuple(warnings), apart=apart)


def _unfinished(folders: Mapping[str, RunFolder]) -> Iterator[str]:
    for name, folder in folders.items():
        if not folder.run.systems:
            yield f"{name} has no final table yet; --resume goes on from there."


def _settings(folders: Mapping[str, RunFolder]) -> Iterator[str]:
    """What differs between the configurations and bears on the scores."""
    splits = {name: folder.split for name, folder in folders.items() if folder.run.systems}
    yield from _if_differing("The runs were scored on different splits", splits)
    configs = {name: folder.config for name, folder in folders.items() if folder.config is not None}
    yield from _if_differing("Scenarios differ", {name: config.scenario for name, config in configs.items()})
    base_models = {name: folder.base_model for name, folder in folders.items() if folder.config is not None}
    yield from _if_differing("Base models differ, and differences to base start from different places", base_models)
    templates = {name: folder.template for name, folder in folders.items() if folder.config is not None}
    yield from _if_differing("Prompts are made by different templates", templates)
    longest = {name: f"{config.evaluation.max_new_tokens} tokens" for name, config in configs.items()}
    decoded = {name: _decoding_of_base(folder) for name, folder in folders.items() if folder.run.systems}
    if all(decoded.values()):
        yield from _if_differing("Base decoded in different ways", decoded)
    else:
        yield from _if_differing("The longest answer differs", longest)


def _decoding_of_base(folder: RunFolder) -> str:
    return next((phrase(system.decoding) for system in folder.run.systems if system.name == BASE), "")


def _if_differing(what: str, values: Mapping[str, str]) -> Iterator[str]:
    if len(set(values.values())) > 1:
        named = ", ".join(f"{name} {value}" for name, value in values.items())
        yield f"{what}: {named}."


def _differing_tasks(first: RunFolder, other: RunFolder) -> Iterator[tuple[str, str]]:
    """Tasks of both whose scores do not speak of the same thing, and why."""
    ours = {row.task: row for row in table_rows(first.run) if not row.is_mean}
    theirs = {row.task: row for row in table_rows(other.run) if not row.is_mean}
    asked, asked_there = _asked(first), _asked(other)
    for task in [task for task in ours if task in theirs]:
        if first.split != other.split:
            yield task, "the splits differ"
        elif ours[task].metric != theirs[task].metric:
            yield task, "the metrics differ"
        elif task not in asked or task not in asked_there:
            yield task, "without predictions it cannot be told whether the rows are the same"
        elif asked[task] != asked_there[task]:
            yield task, "the rows differ"


def _asked(folder: RunFolder) -> dict[str, set[RowKey]]:
    """Task -> the questions that were asked, as base's predictions have them, or any other system's."""
    systems = sorted((name for name in folder.predictions if name != HUMAN), key=lambda name: name != BASE)
    questions: dict[str, set[RowKey]] = {}
    for item in folder.predictions[systems[0]].values() if systems else ():
        questions.setdefault(item.task, set()).add(_key(item))
    return questions


def _key(item: Prediction) -> RowKey:
    return item.example_id, item.instruction, item.text, item.references


def _seen_here_unseen_there(first_name: str, first: RunFolder, name: str, other: RunFolder) -> Iterator[str]:
    ours = {row.task: row.seen for row in table_rows(first.run) if not row.is_mean}
    theirs = {row.task: row.seen for row in table_rows(other.run) if not row.is_mean}
    for task in [task for task in ours if task in theirs and ours[task] != theirs[task]]:
        trained, held_out = (first_name, name) if ours[task] else (name, first_name)
        label = wording.task_label(task).capitalize()
        yield f"{label} was trained in {trained} and held out in {held_out}, so that the means are of other tasks."
