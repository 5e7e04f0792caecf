from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run

FIGURES = {"speedup_over_transformers", "identical_fraction", "mixed_adapter_slowdown", "accepted_draft_tokens"}


@pytest.mark.slow
@pytest.mark.model
def test_a_quick_run_gives_the_documented_figures_and_the_tokens_of_transformers() -> None:
    printed = quick_run("generate")
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["identical_fraction"] > 0.7
    assert printed["figures"]["largest_gap_of_a_difference"] <= 0.5
    sides = {(row["what"], row["side"]) for row in printed["rows"]}
    assert {("rows", "mixwright"), ("rows", "transformers"), ("entering rows", "mixwright four adapters")} <= sides
