"""ratios.csv and metrics.csv: what an outside regressor reads."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from tests.report.made_up_run import make_trials

from mixwright.report.regressors import write_regressor_tables


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_both_tables_hold_the_complete_trials_alone_joined_by_number(tmp_path: Path) -> None:
    assert write_regressor_tables(tmp_path, make_trials()) == 5
    assert [row["index"] for row in rows(tmp_path / "ratios.csv")] == ["0", "1", "2", "3", "4"]
    assert [row["index"] for row in rows(tmp_path / "metrics.csv")] == ["0", "1", "2", "3", "4"]


def test_weights_of_a_trial_sum_to_one_and_an_absent_task_weighs_nothing(tmp_path: Path) -> None:
    first, *rest = make_trials()
    write_regressor_tables(tmp_path, [dataclasses.replace(first, counts={"fluency": 7, "clarity": 14}), *rest])
    ratios = rows(tmp_path / "ratios.csv")
    for row in ratios:
        assert abs(sum(float(value) for name, value in row.items() if name != "index") - 1) < 1e-5
    assert ratios[0]["generic"] == "0.000000"
    assert ratios[1]["clarity"] == "0.000000"


def test_metrics_are_those_of_the_last_rung(tmp_path: Path) -> None:
    trials = make_trials()
    write_regressor_tables(tmp_path, trials)
    last, row = trials[3].rungs[-1], rows(tmp_path / "metrics.csv")[3]
    assert row["seen"] == f"{last.objectives.seen:.6f}"
    assert row["retention"] == f"{last.objectives.retention:.6f}"
    assert row["paraphrasing"] == f"{last.task_scores['paraphrasing']:.6f}"


def test_an_objective_that_is_not_there_is_an_empty_cell(tmp_path: Path) -> None:
    trial = make_trials()[0]
    rung = dataclasses.replace(trial.rungs[-1], objectives=dataclasses.replace(trial.rungs[-1].objectives, unseen=None))
    write_regressor_tables(tmp_path, [dataclasses.replace(trial, rungs=(rung,))])
    assert rows(tmp_path / "metrics.csv")[0]["unseen"] == ""


def test_without_complete_trials_the_tables_hold_their_header_alone(tmp_path: Path) -> None:
    assert write_regressor_tables(tmp_path, make_trials()[5:]) == 0
    assert (tmp_path / "ratios.csv").read_text(encoding="utf-8") == "index\n"
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8") == "index,seen,unseen,retention\n"


def test_a_searched_simplex_and_conditional_keys_come_as_the_shares_that_were_trained_and_add_no_column(tmp_path: Path) -> None:
    points = [
        {"mixture.task_weights.fluency": 0.25, "mixture.task_weights.clarity": 0.75, "lora.use_rslora": True, "lora.alpha": 8},
        {"mixture.task_weights.fluency": 0.0, "mixture.task_weights.clarity": 1.0, "lora.use_rslora": False},
    ]
    counts = [{"generic": 20, "fluency": 20, "clarity": 60}, {"generic": 20, "clarity": 80}]
    trials = [
        dataclasses.replace(trial, params=point, counts=count)
        for trial, point, count in zip(make_trials(), points, counts, strict=False)
    ]
    assert write_regressor_tables(tmp_path, trials) == 2
    assert rows(tmp_path / "ratios.csv") == [
        {"index": "0", "generic": "0.200000", "fluency": "0.200000", "clarity": "0.600000"},
        {"index": "1", "generic": "0.200000", "fluency": "0.000000", "clarity": "0.800000"},
    ]
    assert {"lora.alpha", "mixture.task_weights.fluency"}.isdisjoint(rows(tmp_path / "metrics.csv")[0])
