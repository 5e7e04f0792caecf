from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run

FIGURES = {"switch_seconds_zero2", "switch_seconds_zero3", "sweep_speedup", "sweep_extrapolated_from", "memory_growth_mib"}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_quick_run_gives_the_documented_figures_and_both_sides_the_same_scores() -> None:
    printed = quick_run("lanes")
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["max_abs_difference"] < 1e-6
    sides = {(row["what"], row["side"]) for row in printed["rows"]}
    assert {("sweep", "mixwright"), ("sweep", "ray pattern"), ("memory sweep0", "workers"), ("memory sweep0", "driver")} <= sides
