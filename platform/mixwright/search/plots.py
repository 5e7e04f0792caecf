"""The trials of a run in Optuna's own plots: `report/optuna.html`, one page that needs no network.

What comes in: a run folder, of which only the records are read, so that it can be drawn again when the study's database has gone.
What goes out: optimisation history, front, importances, slices and contours by `optuna.visualization`, where plotly is installed.
The report proper has pictures of its own, with intervals; these are for those who know them from elsewhere.
"""

from __future__ import annotations

import html
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from mixwright.config import SimplexSpec, SweepConfig, load_config
from mixwright.errors import ConfigError
from mixwright.records import TrialRecord, to_json, write_text
from mixwright.search.space import distributions
from mixwright.search_config import encoded
from mixwright.store.runs import CONFIG_FILE, read_trials

logger = logging.getLogger(__name__)

PLOTS_FILE = "optuna.html"
CONTOUR_KEYS = 4
"""The most keys in a contour plot, which has a panel for each pair of them: those of most importance."""
_STATES = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "stopped": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}


def write_plots(run_dir: Path, out: Path | None = None) -> Path | None:
    """Writes the page; None, with a line in the log, where plotly is not installed or there is nothing to plot.

    Args:
        run_dir: the folder of a sweep.
        out: the report's folder; None: `report/` in the run folder.
    """
    target = (out or run_dir / "report") / PLOTS_FILE
    try:
        config = load_config(run_dir / CONFIG_FILE)
    except ConfigError as error:  # of another version; the report itself reads records alone
        logger.info("%s: left out, since the run's configuration cannot be read (%s)", target, error)
        return None
    trials = [record for record in read_trials(run_dir) if not record.confirms]
    if sum(record.status == "complete" for record in trials) < 2 or not any(record.params for record in trials):
        logger.info("%s: fewer than two whole trials of a search, so it is left out", target)
        return None
    if not optuna.visualization.is_available():
        logger.info("%s: Optuna's own plots need plotly; pip install 'mixwright[plots]'", target)
        return None
    names = [name for name in ("seen", "unseen", "retention") if all(name in _objectives(record) for record in trials)]
    figures = list(_figures(study_of(config, trials, names), names))
    write_text(target, _page(config, figures))
    return target


def study_of(config: SweepConfig, trials: list[TrialRecord], names: list[str]) -> optuna.Study:
    """The study that these records tell of, with the values that trials got: the weights of a simplex, and not its draws."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize"] * len(names), sampler=optuna.samplers.RandomSampler(seed=0))
    space = _space(config)
    for record in sorted(trials, key=lambda item: item.number):
        params = {key: encoded(value) for key, value in record.params.items() if key in space}
        values = [_objectives(record)[name] for name in names] if record.status == "complete" else None
        known = {key: space[key] for key in params}
        study.add_trial(optuna.create_trial(state=_STATES[record.status], params=params, distributions=known, values=values))
    return study


def _space(config: SweepConfig) -> dict[str, BaseDistribution]:
    """By the name under which a trial has a value."""
    space = {key: distribution for key, distribution in distributions(config).items() if key in config.search.parameters}
    for key, spec in config.search.parameters.items():
        if isinstance(spec, SimplexSpec):
            space.update((f"{key}.{name}", FloatDistribution(*spec.bounds.get(name, (0.0, 1.0)))) for name in spec.simplex)
    return space


def _objectives(record: TrialRecord) -> dict[str, float]:
    """Those that were measured; of a trial without a rung none is asked for."""
    if record.status != "complete":
        return dict.fromkeys(("seen", "unseen", "retention"), 0.0)
    return {name: value for name, value in to_json(record.rungs[-1].objectives).items() if value is not None}


def _figures(study: optuna.Study, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Heading and figure; one that Optuna cannot draw of this study is left out with a line in the log."""
    from optuna import visualization as plots

    makers: list[tuple[str, Callable[[], Any]]] = []
    if len(names) > 1:
        makers.append(("Pareto front", lambda: plots.plot_pareto_front(study, target_names=names)))
    for index, name in enumerate(names):
        target: Mapping[str, Any] = {"target": partial(_value, index), "target_name": name}
        makers += [
            (f"Optimisation history: {name}", partial(plots.plot_optimization_history, study, **target)),
            (f"Importance for {name}", partial(plots.plot_param_importances, study, **target)),
            (f"Slices: {name}", partial(plots.plot_slice, study, **target)),
            (f"Contours: {name}", partial(_contour, study, **target)),
        ]
    for heading, make in makers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is experimental, and of directions that a plot does not mark
                figure = make()
        except (ValueError, RuntimeError) as error:
            logger.info("optuna.html: no plot %r: %s", heading, str(error).splitlines()[0])
            continue
        yield heading, figure


def _value(index: int, trial: optuna.trial.FrozenTrial) -> float:
    return float(trial.values[index])


def _contour(study: optuna.Study, *, target: Callable[[optuna.trial.FrozenTrial], float], target_name: str) -> Any:
    keys = list(optuna.importance.get_param_importances(study, target=target))[:CONTOUR_KEYS]
    if len(keys) < 2:
        raise ValueError("fewer than two keys vary in all trials")
    return optuna.visualization.plot_contour(study, params=keys, target=target, target_name=target_name)


def _page(config: SweepConfig, figures: list[tuple[str, Any]]) -> str:
    """plotly's own script stands in the page once."""
    name = html.escape(config.name)
    parts = [
        f"<h2>{html.escape(heading)}</h2>\n{figure.to_html(full_html=False, include_plotlyjs=number == 0)}"
        for number, (heading, figure) in enumerate(figures)
    ]
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}h2{margin-top:2.5rem}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name} · Optuna\'s plots</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<h1>{name}: the search in Optuna's plots</h1>\n"
        "<p>Trials that ran their whole budget, with their scores on dev. None of these plots knows how uncertain a score is; "
        '<a href="index.html">the report</a> does.</p>\n' + "\n".join(parts) + "\n</body>\n</html>\n"
    )
