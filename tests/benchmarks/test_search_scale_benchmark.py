from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = {"overhead_ms_per_trial", "own_ms_per_trial", "tune_ms_per_trial", "driver_ms_per_trial", "total_exponent"}
FIGURES |= {"resume_seconds", "memory_growth_mib"}


@pytest.mark.cluster
def test_a_quick_run_ends_all_trials_and_gives_the_documented_figures() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "benchmarks/search_scale.py", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    assert printed["figures"].keys() >= FIGURES
    assert all(value > 0 for name, value in printed["figures"].items() if name != "memory_growth_mib")
    assert [row["round"] for row in printed["rows"]] == [100, 200]
