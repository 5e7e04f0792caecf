"""TPE whose suggestion costs the same at trial 2,000 as at trial 300.

What comes in: a study. What goes out: Optuna's TPE, which sees at most some hundred of the trials that have ended: the best, and
an even spread of the others. TPE puts a kernel on every trial, asks all of them for every candidate, and sorts all of them first,
so that the cost of a search would grow with the square of its trials. What it learns from is how the best lie among the others,
which a spread of the others shows as well. Up to `SEEN` trials nothing is left out.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

SEEN, KEPT = 300, 200
"""Ended trials at which some are let go, and how many then stay, half of them the best."""
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class LongHistoryTPE(optuna.samplers.TPESampler):
    """Takes what `TPESampler` takes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._history = History()

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return super().sample_relative(self._seen(study), trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return super().sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: Study) -> Any:
        trials = study.get_trials(deepcopy=False)
        return _View(study, self._history.seen(trials, study.directions)) if len(trials) > SEEN else study


class History:
    """Which trials of a growing study a sampler sees.

    The study is cut after fixed numbers of trials, so that what is seen hangs on the study alone and a resumed search sees the
    same.
    """

    def __init__(self) -> None:
        self._cut = 0
        """Trials with lower numbers have been judged."""
        self._kept: list[int] = []
        """Of those, by number."""

    def seen(self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
        """The trials that a sampler sees, by number.

        Args:
            trials: all of the study; each stands at its number.
        """
        while (cut := max(SEEN, self._cut + SEEN - KEPT)) <= len(trials):
            here = [trials[number] for number in (*self._kept, *range(self._cut, cut))]
            self._kept, self._cut = [trial.number for trial in thinned(here, directions)], cut
        return [trials[number] for number in (*self._kept, *range(self._cut, len(trials)))]


def thinned(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """At most `KEPT` of those that have ended, half of them the best, and all that have not, in their order."""
    ended = [trial for trial in trials if trial.state in _ENDED]
    if len(ended) <= KEPT:
        return [trial for trial in trials if trial.state in _ENDED or not trial.state.is_finished()]
    ranked = by_rank(ended, directions)
    best = {trial.number for trial in ranked[: KEPT // 2]}
    others = [trial.number for trial in ended if trial.number not in best]
    spread = np.linspace(0, len(others) - 1, KEPT - len(best)).round().astype(int)
    kept = best | {others[index] for index in spread}
    return [trial for trial in trials if trial.number in kept or not trial.state.is_finished()]


def by_rank(ended: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The best first: feasible before infeasible, whole before stopped, then by how many others are better in every objective."""
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE and _excess(trial) <= 0]
    beaten: dict[int, int] = {}
    if complete:
        signs = [1.0 if direction == StudyDirection.MINIMIZE else -1.0 for direction in directions]
        loss = np.array([trial.values for trial in complete]) * signs
        better = (loss[:, None] <= loss).all(2) & (loss[:, None] < loss).any(2)
        beaten = dict(zip((trial.number for trial in complete), better.sum(0).tolist(), strict=True))
    last = len(ended)
    return sorted(ended, key=lambda trial: (_excess(trial), trial.state != TrialState.COMPLETE, beaten.get(trial.number, last)))


def _excess(trial: FrozenTrial) -> float:
    """How far the constraints are overstepped in all; 0: they are kept."""
    return sum(value for value in trial.constraints.values() if value > 0)


class _View:
    """A study that shows some of its trials."""

    def __init__(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        self._study, self._trials = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """Where Optuna's samplers look."""
        return [trial for trial in self._trials if states is None or trial.state in states]
