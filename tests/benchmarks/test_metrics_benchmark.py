from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.benchmarks.quick import ROOT, quick_run, started

DATA = Path(os.environ.get("MIXWRIGHT_DATA", ROOT.parent / "shared" / "data"))
FIGURES = {
    "errant_speedup",
    "errant_speedup_one_core",
    "errant_speedup_next_rung",
    "sari_speedup",
    "gleu_speedup",
    "gleu_speedup_expectation",
    "max_abs_difference",
}


def test_missing_data_is_said_in_one_line(tmp_path: Path) -> None:
    done = started("metrics", "--quick", "--json", environment={"MIXWRIGHT_DATA": str(tmp_path / "nowhere")})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {tmp_path}/nowhere: no such folder; set MIXWRIGHT_DATA to the folder that holds jfleg/, asset/ and cweb/\n"
    )


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.cluster
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there; set MIXWRIGHT_DATA")
def test_a_quick_run_gives_the_documented_figures_the_same_scores_and_every_measurement() -> None:
    printed = quick_run("metrics")
    assert printed["figures"].keys() >= FIGURES
    assert printed["figures"]["max_abs_difference"] < 1e-6
    assert {"processor", "cores", "versions", "commit"} <= printed["environment"].keys()
    sides = {(row["what"], row["side"]) for row in printed["rows"]}
    for what in ("jfleg", "cweb-G", "cweb-S", "asset", "jfleg-gleu"):
        assert {(what, "stock"), (what, "mixwright")} <= sides
    assert all(row["seconds"] > 0 for row in printed["rows"])
