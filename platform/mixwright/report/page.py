"""The report of one run: a self-contained HTML file, Markdown and CSV, from the records of its folder.

What comes in: a run folder. What goes out: `report/index.html`, `report.md`, `scores.csv`, `differences.csv` and `error_types.csv`
beside it, and, for a sweep, `ratios.csv` and `metrics.csv` beside the records. All of them are drawn from the same rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixwright.records import write_text
from mixwright.report import (
    bars,
    curves,
    details,
    landscape,
    marks,
    pages,
    pareto,
    readings,
    surface,
    trees,
    trials,
    verdict,
    wording,
)
from mixwright.report.asked import asked_systems
from mixwright.report.common_numbers import common_numbers
from mixwright.report.csv_files import NamedTable, csv_files
from mixwright.report.forest import forest
from mixwright.report.links import link
from mixwright.report.markdown import MOST_ERROR_TYPES, markdown
from mixwright.report.regressors import write_regressor_tables
from mixwright.report.run_folder import RunFolder, best_system, read_run_folder
from mixwright.report.samples import KIND_LABELS, Samples, samples
from mixwright.report.seed_variance import seed_groups
from mixwright.report.table import TableRow, changed_systems, table_rows, unrecorded


def build(run_dir: Path, out: Path | None = None) -> Path:
    """Writes the report of a run; returns the path of the HTML file.

    Args:
        run_dir: the folder of a sweep, or of `jobs/batch_evaluate.py`.
        out: where the report goes; None: into the run folder, `report/`.

    Raises:
        RunError: the folder holds neither `result.json` nor `scores-SPLIT.json`.
        DataError: that file was written by another version, or is broken.
    """
    folder = read_run_folder(run_dir)
    target = out or run_dir / "report"
    tabulated = 0
    if folder.kind == "sweep":
        tabulated = write_regressor_tables(out or run_dir, folder.trials)
    rows = table_rows(folder.run)
    folder = dataclasses.replace(folder, notices=(*folder.notices, *unrecorded(rows)))
    found = samples(folder)
    for name, content in csv_files([NamedTable(run=folder.run.name, split=folder.split, rows=rows)]).items():
        write_text(target / name, content)
    write_text(target / "report.md", markdown(folder, found))
    write_text(target / "index.html", _page(folder, rows, found, target, tabulated))
    return target / "index.html"


def _page(folder: RunFolder, rows: tuple[TableRow, ...], found: Samples | None, target: Path, tabulated: int) -> str:
    """The page; `tabulated` is how many trials stand in the tables for regressors."""
    lead = best_system(folder.run)
    systems = asked_systems(folder)
    return pages.render(
        "page.html",
        run=folder.run,
        folder=folder,
        verdict=verdict.verdict(folder),
        rows=rows,
        lead=lead.name if lead else "",
        systems=systems,
        changed=changed_systems(rows),
        links={item.name: link(target, item.file) for item in systems if item.file},
        legend=readings.met(reading for row in rows for item in systems if (reading := row.reading(item.name)) is not None),
        samples=found,
        kind_labels=KIND_LABELS,
        trials=trials.trial_rows(folder),
        has_errors=trials.has_errors(folder),
        searched=trials.searched_keys(folder),
        tabulated=tabulated,
        has_optuna_plots=(target / "optuna.html").exists(),
        seed_groups=seed_groups(folder.trials),
        common_numbers=common_numbers(folder),
        statuses={status: sum(trial.status == status for trial in folder.trials) for status in ("complete", "stopped", "failed")},
        **_result_figures(rows),
        **_search_figures(folder),
        **_background(folder),
    )


def _result_figures(rows: tuple[TableRow, ...]) -> dict[str, Any]:
    return {
        "forest": forest(rows),
        "bar_figures": bars.score_bars(rows),
        "has_p_values": any(item.p_value is not None for row in rows for item in row.differences.values()),
        "edit_tables": details.edit_tables(rows),
        "sari_tables": details.sari_tables(rows),
        "error_types": details.error_types(rows),
        "most_types": MOST_ERROR_TYPES,
    }


def _search_figures(folder: RunFolder) -> dict[str, Any]:
    seen = [score for trial in folder.trials if (score := marks.objective(trial, "seen")) is not None]
    return {
        "search_map": landscape.search_map(folder),
        "objective_panels": landscape.objective_panels(folder),
        "pareto_figures": pareto.pareto_figures(folder),
        "surfaces": surface.surface_figures(folder),
        "confirmed": surface.confirmed(folder),
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
