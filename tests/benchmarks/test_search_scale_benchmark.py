from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run

FIGURES = {"overhead_ms_per_trial", "own_ms_per_trial", "tune_ms_per_trial", "driver_ms_per_trial", "total_exponent"}
FIGURES |= {"resume_seconds", "memory_growth_mib"}


@pytest.mark.cluster
def test_a_quick_run_ends_all_trials_and_gives_the_documented_figures() -> None:
    printed = quick_run("search_scale")
    assert printed["figures"].keys() >= FIGURES
    assert all(value > 0 for name, value in printed["figures"].items() if name != "memory_growth_mib")
    assert [row["round"] for row in printed["rows"]] == [100, 200]
