"""Several runs side by side: what each searched, found and cost, and their systems' scores task by task.

What comes in: run folders, of sweeps or of `jobs/batch_evaluate.py`. What goes out: a folder with `index.html`, `report.md` and
CSV files. Signs compare a system with the base model of its own run; between runs nothing is tested, and where rows differ the page
says that their numbers cannot be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixwright.errors import RunError
from mixwright.records import BASE, write_text
from mixwright.report import bars, cells, pages, readings, wording
from mixwright.report.asked import phrase
from mixwright.report.comparability import Obstacles, obstacles
from mixwright.report.csv_files import NamedTable, csv_files
from mixwright.report.links import link
from mixwright.report.markdown import bullets, escaped, score_cell, table
from mixwright.report.run_folder import RunFolder, best_system, read_run_folder
from mixwright.report.table import ALWAYS_THERE, MEAN_OF_SEEN, MEAN_OF_UNSEEN, TableRow, ordered_systems, table_rows
from mixwright.report.verdict import configured_mix

_MOST_NAMES = 3
_ALIEN = "‡"
"""Stands beside a score that cannot be held against the first run's."""


@dataclass(frozen=True, kw_only=True)
class ComparedTask:
    """One task, or mean, in every run."""

    task: str
    metric: str
    seen: bool
    is_mean: bool
    rows: Mapping[str, TableRow]
    """Run -> its row; runs without the task are left out."""
    systems: tuple[str, ...]
    """Every system that some run has a score of."""
    apart: frozenset[str]
    """Runs whose numbers cannot be held against the first's."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the table of runs."""

    label: str
    values: Mapping[str, str]
    """Run -> what is so of it."""


def compare(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the comparison; returns the path of its HTML file.

    Args:
        out: where it goes; None: a folder beside the first run, named after the runs.

    Raises:
        RunError: fewer than two runs, one given twice, or a folder without a record.
        DataError: a record is broken, or of another version.
    """
    folders = {name: read_run_folder(path) for name, path in _names(run_dirs).items()}
    target = out or run_dirs[0].resolve().parent / _folder_name(list(folders))
    found, tasks = obstacles(folders), compared_tasks(folders)
    tables = [NamedTable(run=name, split=folder.split, rows=table_rows(folder.run)) for name, folder in folders.items()]
    for name, content in csv_files(tables).items():
        write_text(target / name, content)
    facts = run_facts(folders)
    write_text(target / "report.md", _markdown(list(folders), found, facts, tasks))
    write_text(target / "index.html", _page(folders, found, facts, tasks, target))
    return target / "index.html"


def _names(run_dirs: Sequence[Path]) -> dict[str, Path]:
    """Short names of the runs: their folders', with as much of the path as tells them apart."""
    paths = [path.resolve() for path in run_dirs]
    if len(paths) < 2:
        raise RunError(f"a comparison needs two runs or more, got {len(paths)}")
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise RunError(f"{twice}: given twice; name each run once")
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, run_dirs, strict=True))


def _folder_name(names: Sequence[str]) -> str:
    shown = [name.replace("/", "-") for name in names]
    rest = len(shown) - _MOST_NAMES
    return "compare-" + "-".join(shown if rest <= 0 else [*shown[:_MOST_NAMES], f"and-{rest}-more"])


def compared_tasks(folders: Mapping[str, RunFolder]) -> tuple[ComparedTask, ...]:
    """Tasks of all runs, seen before unseen as the first run that has them says, means after their tasks."""
    tables = {name: {row.task: row for row in table_rows(folder.run)} for name, folder in folders.items()}
    order = {name: [system.name for system in ordered_systems(folder.run)] for name, folder in folders.items()}
    found = obstacles(folders)
    first = {task: row for table in reversed(tables.values()) for task, row in table.items()}
    names = list(dict.fromkeys(task for table in tables.values() for task in table))
    tasks = [task for task in names if not first[task].is_mean]
    ordered = [
        *(task for task in tasks if first[task].seen),
        *(task for task in names if task == MEAN_OF_SEEN),
        *(task for task in tasks if not first[task].seen),
        *(task for task in names if task == MEAN_OF_UNSEEN),
    ]
    return tuple(_compared(task, first[task], tables, order, found) for task in ordered)


def _compared(
    task: str,
    first: TableRow,
    tables: Mapping[str, Mapping[str, TableRow]],
    order: Mapping[str, Sequence[str]],
    found: Obstacles,
) -> ComparedTask:
    rows = {name: table[task] for name, table in tables.items() if task in table}
    met = dict.fromkeys(system for name, row in rows.items() for system in order[name] if system in row.scores)
    systems = (*(name for name in ALWAYS_THERE if name in met), *(name for name in met if name not in ALWAYS_THERE))
    return ComparedTask(
        task=task,
        metric=first.metric,
        seen=first.seen,
        is_mean=first.is_mean,
        rows=rows,
        systems=systems,
        apart=frozenset(name for name in rows if _is_apart(name, task, first.seen, tables, found)),
    )


def _is_apart(name: str, task: str, seen: bool, tables: Mapping[str, Mapping[str, TableRow]], found: Obstacles) -> bool:
    """A mean is apart where one of its tasks is, or where it runs over other tasks than the first run's."""
    if task not in (MEAN_OF_SEEN, MEAN_OF_UNSEEN):
        return task in found.apart[name]
    of_first, own = (
        {row.task for row in table.values() if row.seen == seen and not row.is_mean}
        for table in (next(iter(tables.values())), tables[name])
    )
    return own != of_first or bool(own & found.apart[name])


def run_facts(folders: Mapping[str, RunFolder]) -> tuple[Fact, ...]:
    """What each run searched, found and cost; lines that no run can fill are left out."""
    lines = {name: _facts_of(folder) for name, folder in folders.items()}
    labels = dict.fromkeys(label for values in lines.values() for label in values)
    facts = (Fact(label=label, values={name: values.get(label, "") for name, values in lines.items()}) for label in labels)
    return tuple(fact for fact in facts if any(fact.values.values()))


def _facts_of(folder: RunFolder) -> dict[str, str]:
    config, run, lead = folder.config, folder.run, best_system(folder.run)
    seconds = run.cost.get("seconds")
    statuses = {status: sum(trial.status == status for trial in folder.trials) for status in ("complete", "stopped", "failed")}
    best = folder.best_trial.params if folder.best_trial else run.best.get("params", {})
    budget = f"{config.mixture.size:,} {config.mixture.budget.replace('_', ' ')} a trial" if config else ""
    return {
        "Question": run.question,
        "Base model": folder.base_model,
        "Scored on": f"{folder.split} rows" if run.systems else "",
        "Searched": ", ".join(wording.key_label(key) for key in config.search.parameters) or "nothing" if config else "",
        "Trials": ", ".join(f"{count} {status}" for status, count in statuses.items() if count),
        "Budget": budget,
        "Best mix": wording.mix_phrase(best) or (configured_mix(folder) if run.best else ""),
        "Seen against base": _difference(folder, seen=True),
        "Unseen against base": _difference(folder, seen=False),
        "Retention": f"{wording.signed(lead.retention, 3)} nats a token" if lead and lead.retention is not None else "",
        "Time": wording.duration(sum(seconds.values())) if isinstance(seconds, Mapping) and seconds else "",
        "Training tokens": f"{tokens:,}" if isinstance(tokens := run.cost.get("training_tokens"), int) else "",
        "Usage": "; ".join(f"{system.name}: {phrase(system.usage)}" for system in run.systems if system.usage),
        "Hardware": str(run.environment.get("processor", "")),
        "Commit": str(run.environment.get("commit", "")),
    }


def _difference(folder: RunFolder, *, seen: bool) -> str:
    """The difference of the mean row, or of the only task of that kind, with its sign."""
    rows = [row for row in table_rows(folder.run) if row.seen == seen]
    row = next((row for row in rows if row.is_mean), rows[0] if rows else None)
    if row is None or row.difference is None:
        return ""
    reading = row.reading(row.lead) or readings.NO_INTERVAL
    spread = f" ({wording.interval(row.difference.low, row.difference.high)})" if reading is not readings.NO_INTERVAL else ""
    return f"{wording.signed(row.difference.value)}{spread} {reading.glyph}"


def _page(
    folders: Mapping[str, RunFolder], found: Obstacles, facts: Sequence[Fact], tasks: Sequence[ComparedTask], target: Path
) -> str:
    found_readings = (row.reading(name) for task in tasks for row in task.rows.values() for name in task.systems)
    own = {name: folder.path / "report" / "index.html" for name, folder in folders.items()}
    return pages.render(
        "comparison.html",
        title=_title(list(folders)),
        names=list(folders),
        folders=folders,
        warnings=found.warnings,
        facts=facts,
        tasks=tasks,
        alien=_ALIEN,
        any_apart=any(task.apart for task in tasks),
        links={name: link(target, path) for name, path in own.items() if path.is_file()},
        legend=readings.met(reading for reading in found_readings if reading is not None),
        figures=[bars.run_bars(task.task, task.metric, shown) for task in tasks if (shown := _bar_scores(task))],
    )


def _title(names: Sequence[str]) -> str:
    return f"{wording.listed(names)}, side by side"


def _bar_scores(task: ComparedTask) -> list[bars.Bar]:
    """The system that each run is about, and its base below it; none of a mean, which is no height to look at."""
    if task.is_mean:
        return []
    return [
        bars.Bar(name=name, score=row.scores[system], is_lead=system == row.lead)
        for run, row in task.rows.items()
        for system, name in ((row.lead, run), (BASE, "its base" if row.lead in row.scores else f"{run} base"))
        if system in row.scores
    ]


def _markdown(names: Sequence[str], found: Obstacles, facts: Sequence[Fact], tasks: Sequence[ComparedTask]) -> str:
    lines = []
    for task in tasks:
        for system in task.systems:
            values = (_compared_cell(task, name, system) for name in names)
            lines.append((wording.task_label(task.task), wording.metric_label(task.metric), wording.system_label(system), *values))
    blocks = [
        f"# {escaped(_title(names))}",
        bullets(found.warnings),
        "## Runs",
        table(
            ("", *names), [(fact.label, *(fact.values[name] or cells.NONE for name in names)) for fact in facts], words=range(99)
        ),
        "## Scores by task",
        table(("Task", "Metric", "System", *names), lines, words=(0, 1, 2)),
        f"In brackets 95 % intervals. Signs compare with base of the same run. {_ALIEN} cannot be held against the first run's.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _facts_table(names: Sequence[str], facts: Sequence[Fact]) -> str:
    lines = [(fact.label, *(fact.values[name] or cells.NONE for name in names)) for fact in facts]
    return table(("", *names), lines, words=range(len(names) + 1))


def _compared_cell(task: ComparedTask, name: str, system: str) -> str:
    if name not in task.rows or system not in task.rows[name].scores:
        return cells.NONE
    mark = f" {_ALIEN}" if name in task.apart else ""
    return f"{score_cell(task.rows[name], system)}{mark}"
