from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run

FIGURES = {"speedup_over_trainer", "speedup_over_trl", "speedup_over_trl_packing", "fraction_of_matmul_limit"}


@pytest.mark.slow
@pytest.mark.model
def test_a_quick_run_gives_the_documented_figures_and_the_stock_trainer_s_losses() -> None:
    printed = quick_run("train_step")
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["loss_curve_difference"] < 0.02
    assert {row["side"] for row in printed["rows"]} >= {
        "mixwright",
        "transformers.Trainer",
        "trl.SFTTrainer",
        "trl.SFTTrainer packing",
    }
