from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run


@pytest.mark.slow
@pytest.mark.cluster
def test_a_quick_run_gives_the_documented_figures_of_both_sides() -> None:
    printed = quick_run("cluster_scale")
    figures = printed["figures"]
    for lanes in (1, 2, 4):
        for prefix in ("", "rival_"):
            up, whole = figures[f"{prefix}efficiency_{lanes}_lanes"], figures[f"{prefix}efficiency_{lanes}_lanes_whole"]
            assert 0 < whole < up <= 1, "sleep cannot be shortened"
    assert len(printed["rows"]) == 2 * 2 * 3
