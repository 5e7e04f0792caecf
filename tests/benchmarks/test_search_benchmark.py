"""What the benchmark of the search counts: trials until the point is good and stays good, censored ones said to be so."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from tests.benchmarks.quick import imported, quick_run


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return imported("search")


@pytest.mark.parametrize(
    ("regrets", "needed", "censored"),
    [([0.1, 0.1, 0.1], 1, False), ([9, 0.1, 9, 0.1], 4, False), ([9, 0.1, 9], 3, True), ([9, 9, 0.5], 3, False)],
)
def test_a_method_needs_the_trials_after_which_it_is_never_wrong_again(
    benchmark: ModuleType, regrets: list[float], needed: int, censored: bool
) -> None:
    row = benchmark._row("bowl", 0, "surface", "own", regrets, limit=0.5)
    assert (row.trials, row.censored) == (needed, censored)


@pytest.mark.parametrize("family", ["bowl", "ridge", "collapse"])
def test_no_point_of_an_objective_beats_its_best(benchmark: ModuleType, family: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        objective = benchmark.make_objective(family, number)
        for _ in range(200):
            point = {
                benchmark.FRACTION: rng.random(),
                benchmark.RANK: int(rng.choice(benchmark.RANKS)),
                benchmark.RATE: 10 ** rng.uniform(-5, -2),
                benchmark.TEMPLATE: str(rng.choice(benchmark.TEMPLATES)),
            }
            assert objective.true(point) <= objective.best + 0.05
        assert 30 < objective.best < 60


def test_a_ratio_is_that_of_medians_over_rounds_of_the_held_out_family(benchmark: ModuleType) -> None:
    def rows(method: str, rule: str, *trials: int) -> list[object]:
        return [
            benchmark.Row(family="collapse", round=i, method=method, rule=rule, trials=n, censored=n == 80, last_regret=0.0)
            for i, n in enumerate(trials)
        ]

    found = benchmark.figures(
        [*rows("surface", "own", 10, 20, 30), *rows("random", "own", 80, 80, 40), *rows("random", "surface", 20, 30, 40)]
    )
    assert found["cost_ratio_to_random"] == 4.0
    assert found["cost_ratio_to_random_same_rule"] == 1.5
    assert found["censored_random"] == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.slow
def test_the_quick_run_prints_its_figures() -> None:
    assert {"cost_ratio_to_random", "cost_ratio_to_gp", "cost_ratio_to_tpe"} <= quick_run("search")["figures"].keys()
