"""What of a search can be refused once scenario and model are known, and before anything starts."""

from __future__ import annotations

import logging
import random

from mixwright.config import TASK_WEIGHTS, SimplexSpec, SweepConfig
from mixwright.errors import ConfigError, did_you_mean
from mixwright.scenarios import Scenario
from mixwright.search.limits import limits_of
from mixwright.search.objective import told_objectives
from mixwright.search.samplers import feasible_grid
from mixwright.search.searcher import nothing_feasible
from mixwright.search.space import Space
from mixwright.train.precision import choose_precision

logger = logging.getLogger(__name__)

FEASIBLE_DRAWS = 500
"""Random points that tell how much of the space the constraints leave."""


def check_space(config: SweepConfig, scenario: Scenario) -> None:
    """Refuses objectives that nobody reports, weights of unknown tasks, and a space of which the constraints leave too little.

    Raises:
        ConfigError: one of these.
    """
    told_objectives(config.search.objective, scenario)
    weights = config.search.parameters.get(TASK_WEIGHTS)
    for name in weights.simplex if isinstance(weights, SimplexSpec) else ():
        if name not in scenario.seen:
            known = did_you_mean(name, scenario.seen) or f"; trained are {', '.join(scenario.seen)}"
            raise ConfigError(f"search.parameters.{TASK_WEIGHTS}: '{name}' is no trained task{known}")
    if config.search.parameters:
        _check_feasible(config)


def _check_feasible(config: SweepConfig) -> None:
    search = config.search
    wants_memory = search.constraints.max_memory_gib is not None
    space = Space(config, limits_of(config, choose_precision(config.train).precision if wants_memory else "fp32"))
    rng = random.Random(search.seed)
    if not space.excess(space.random_draws(rng)):
        return
    for point in search.first:
        broken = [name for name, value in space.excess(config.points.draws(point)).items() if value > 0]
        if broken:
            raise ConfigError(f"search.first: {point} breaks {', '.join(broken)}; remove it, or loosen search.constraints")
    if search.sampler == "grid" and (there := sum(1 for _ in feasible_grid(space))) < search.trials:
        raise ConfigError(f"search.trials: the constraints leave {there} points of the grid, got {search.trials} trials")
    feasible = sum(space.is_feasible(space.random_draws(rng)) for _ in range(FEASIBLE_DRAWS))
    if not feasible:
        raise ConfigError(nothing_feasible(space, FEASIBLE_DRAWS))
    logger.info("constraints: %.0f %% of %d random points of the space keep them", 100 * feasible / FEASIBLE_DRAWS, FEASIBLE_DRAWS)
