from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = {"speedup_over_trainer", "speedup_over_trl", "speedup_over_trl_packing", "fraction_of_matmul_limit"}


@pytest.mark.slow
@pytest.mark.model
def test_a_quick_run_gives_the_documented_figures_and_the_stock_trainer_s_losses() -> None:
    command = [sys.executable, "benchmarks/train_step.py", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert set(printed) == {"environment", "figures", "rows"}
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["loss_curve_difference"] < 0.02
    assert {row["side"] for row in printed["rows"]} >= {
        "mixwright",
        "transformers.Trainer",
        "trl.SFTTrainer",
        "trl.SFTTrainer packing",
    }
