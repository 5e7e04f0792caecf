from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks.quick import imported, quick_run

FIGURES = {"switch_seconds_zero2", "switch_seconds_zero3", "sweep_speedup", "sweep_extrapolated_from"}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_quick_run_gives_the_documented_figures_and_both_sides_the_same_scores() -> None:
    printed = quick_run("lanes")
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["max_abs_difference"] < 1e-6
    sides = {(row["what"], row["side"]) for row in printed["rows"]}
    assert {("sweep", "mixwright"), ("sweep", "ray pattern"), ("memory sweep0", "workers"), ("memory sweep0", "driver")} <= sides


def test_memory_grows_by_what_the_sweep_s_own_processes_hold_more_once_they_have_settled() -> None:
    lanes = imported("lanes")

    def growth(trials: range) -> float | None:
        held = {trial: 100.0 + trial if trial >= lanes.SETTLED else 500.0 for trial in trials}
        rows = [
            lanes.Memory(what="memory lane", side=kind, round=trial, seconds=0.0, mib=held[trial])
            for trial in trials
            for kind in lanes.ALL_KINDS
        ]
        found: float | None = lanes.Bench(Path(), Path(), rows)._growth()
        return found

    kinds = len(lanes.ALL_KINDS) - 1  # Ray's own processes are not counted
    assert growth(range(1, 102)) == kinds * (98 - 22)
    assert growth(range(1, lanes.SETTLED)) is None
