"""The report: one self-contained HTML file from the records of a run folder.

What comes in: a run folder. What goes out: `report/index.html`, which needs neither network nor scripts, and `ratios.csv` and
`metrics.csv` beside the records. Everything that a model or a data set wrote is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mixwright.records import TrialRecord, to_json, write_text
from mixwright.report import curves, landscape, marks, pareto, samples, svg, table, trees, verdict, wording
from mixwright.report.regressors import write_regressor_tables
from mixwright.report.run_folder import RunFolder, read_run_folder

_FOLDER = Path(__file__).parent
_FOREST_WIDTH, _FOREST_HEIGHT = 170.0, 22.0


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial as the table of trials shows it."""

    trial: TrialRecord
    values: tuple[str, ...]
    """One for each searched key."""
    seen_by_rung: str
    unseen: str
    retention: str
    seconds: str
    is_best: bool
    on_front: bool
    keeps_limits: bool | None


def build(run_dir: Path) -> Path:
    """Writes the report of a run and the two tables for regressors; returns the path of the HTML file.

    Raises:
        RunError: the folder holds no `result.json`.
        DataError: `result.json` was written by another version, or is broken.
    """
    folder = read_run_folder(run_dir)
    tabulated = write_regressor_tables(run_dir, folder.trials)
    target = run_dir / "report" / "index.html"
    write_text(target, render(folder, tabulated))
    return target


def render(folder: RunFolder, tabulated: int) -> str:
    """The page; `tabulated` is how many trials stand in the tables for regressors."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "signed": wording.signed,
        "task": wording.task_label,
        "metric": wording.metric_label,
    }
    rows = table.table_rows(folder.run)
    return environment.get_template("template.html").render(
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        run=folder.run,
        folder=folder,
        verdict=verdict.verdict(folder),
        rows=rows,
        forest={row.task: _forest(row, rows) for row in rows},
        trials=_trial_rows(folder),
        searched=_searched_keys(folder),
        samples=samples.task_samples(folder),
        kind_labels=samples.KIND_LABELS,
        tabulated=tabulated,
        statuses={status: sum(trial.status == status for trial in folder.trials) for status in ("complete", "stopped", "failed")},
        **_figures(folder),
        **_background(folder),
    )


def _figures(folder: RunFolder) -> dict[str, Any]:
    seen = [score for trial in folder.trials if (score := marks.objective(trial, "seen")) is not None]
    return {
        "search_map": landscape.search_map(folder),
        "objective_panels": landscape.objective_panels(folder),
        "pareto_figures": pareto.pareto_figures(folder),
        "loss_figure": curves.loss_figure(folder),
        "loss_window": curves.smoothing_window(folder),
        "rung_panels": curves.rung_panels(folder),
        "colour_range": (min(seen), max(seen)) if seen else None,
        "colour_steps": range(marks.COLOUR_STEPS),
    }


def _background(folder: RunFolder) -> dict[str, Any]:
    best = folder.best_trial
    seconds = {key: value for key, value in folder.run.cost.items() if isinstance(value, Mapping) and "seconds" in key}
    rest = {key: value for key, value in folder.run.cost.items() if key not in seconds}
    return {
        "data_blocks": trees.blocks(folder.data),
        "leaks": _leak_sentence(folder.data),
        "mixture": trees.bars({wording.task_label(task): count for task, count in best.counts.items()}) if best else (),
        "environment_blocks": trees.blocks(folder.run.environment),
        "stage_seconds": [bar for value in seconds.values() for bar in trees.bars(value, "seconds")],
        "cost_blocks": trees.blocks(rest),
    }


def _leak_sentence(data: Mapping[str, Any]) -> str:
    """What the leak guard did; empty where the data report does not say."""
    sources = data.get("sources")
    if not isinstance(sources, Mapping) or not all(
        isinstance(source, Mapping) and "leaked" in source for source in sources.values()
    ):
        return ""
    dropped = sum(int(source["leaked"]) for source in sources.values())
    guarded = "whose source or target stands in an evaluation set"
    return (
        f"The leak guard dropped {wording.plural(dropped, 'training row')} {guarded}."
        if dropped
        else f"No training row has been found {guarded}."
    )


def _forest(row: table.TableRow, rows: tuple[table.TableRow, ...]) -> Markup:
    """The difference and its interval on a scale that all rows share; decoration beside the figures, so readers skip it."""
    shown = [item.difference for item in rows if item.difference is not None]
    if row.difference is None:
        return Markup("")
    ends = [0.0, *(end for item in shown for end in (item.low, item.high, item.value) if wording.finite(end) is not None)]
    place = svg.scale(ends, "linear", pad=0.05).place
    change, middle = row.difference, _FOREST_HEIGHT / 2
    low, high, at, zero = (_FOREST_WIDTH * place(value) for value in (change.low, change.high, change.value, 0.0))
    class_ = {"better": "good", "worse": "bad"}.get(row.outcome, "even")
    return svg.element(
        "svg",
        svg.line(zero, -_FOREST_HEIGHT, zero, 2 * _FOREST_HEIGHT, "zero"),
        svg.line(low, middle, high, middle, f"whisker {class_}"),
        svg.element("circle", cx=at, cy=middle, r=5 if row.is_mean else 4, class_=f"estimate {class_}"),
        viewBox=f"0 0 {_FOREST_WIDTH:g} {_FOREST_HEIGHT:g}",
        class_="forest",
        aria_hidden="true",
    )


def _searched_keys(folder: RunFolder) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for trial in folder.trials for key in trial.params))


def _trial_rows(folder: RunFolder) -> tuple[TrialRow, ...]:
    """Trials of the whole budget by falling seen objective, then the stopped ones, then the failed."""
    order = {"complete": 0, "stopped": 1, "failed": 2}

    def rank(trial: TrialRecord) -> tuple[bool, int, float]:
        score = marks.objective(trial, "seen")
        return trial.trial_id != folder.best_id, order[trial.status], -score if score is not None else 0.0

    return tuple(_trial_row(folder, trial) for trial in sorted(folder.trials, key=rank))


def _trial_row(folder: RunFolder, trial: TrialRecord) -> TrialRow:
    keys = _searched_keys(folder)
    objectives = marks.objectives(trial)
    front = {item.get("trial_id") for item in folder.run.pareto}
    complete = trial.status == "complete"
    return TrialRow(
        trial=trial,
        values=tuple(wording.key_value(key, trial.params[key]) if key in trial.params else "–" for key in keys),
        seen_by_rung=" → ".join(wording.number(rung.objectives.seen) for rung in trial.rungs) or "–",
        unseen=wording.number(marks.objective(trial, "unseen")),
        retention=wording.signed(marks.objective(trial, "retention"), 3),
        seconds=wording.duration(trial.rungs[-1].seconds) if trial.rungs else "–",
        is_best=trial.trial_id == folder.best_id,
        on_front=trial.trial_id in front,
        keeps_limits=verdict.keeps_limits(folder, to_json(objectives)) if objectives and complete else None,
    )
