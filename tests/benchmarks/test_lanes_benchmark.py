from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = {"switch_seconds_zero2", "switch_seconds_zero3", "sweep_speedup", "sweep_extrapolated_from", "memory_growth_mib"}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_quick_run_gives_the_documented_figures_and_both_sides_the_same_scores() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "benchmarks/lanes.py", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert set(printed) == {"environment", "figures", "rows"}
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["max_abs_difference"] < 1e-6
    sides = {(row["what"], row["side"]) for row in printed["rows"]}
    assert {("sweep", "mixwright"), ("sweep", "ray pattern"), ("memory sweep0", "workers"), ("memory sweep0", "driver")} <= sides
