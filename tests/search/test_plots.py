"""Optuna's own plots beside the report: drawn from the records, offline, and left out with a line where they cannot be."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

import optuna
import pytest
from tests.report.made_up_run import make_config, make_run, make_trials

from mixwright import report
from mixwright.config import SweepConfig
from mixwright.search.plots import study_of, write_plots
from mixwright.settings import validate

NAMES = ["seen", "unseen", "retention"]


def test_the_page_has_all_plots_and_loads_nothing(tmp_path: Path) -> None:
    make_run(tmp_path)
    path = write_plots(tmp_path)
    assert path == tmp_path / "report" / "optuna.html"
    text = path.read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", text)
    kinds = ("Optimisation history: ", "Importance for ", "Slices: ", "Contours: ")
    assert headings == ["Pareto front", *(kind + name for name in NAMES for kind in kinds)]
    assert text.count('class="plotly-graph-div"') == len(headings)
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=", text)
    assert "index.html" in report.build(tmp_path).name
    assert 'href="optuna.html"' in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_without_the_page_the_report_has_no_link_to_it(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert "optuna.html" not in report.build(tmp_path).read_text(encoding="utf-8")


def test_without_plotly_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path)
    monkeypatch.setattr(optuna.visualization, "is_available", lambda: False)
    with caplog.at_level(logging.INFO):
        assert write_plots(tmp_path) is None
    assert "pip install 'mixwright[plots]'" in caplog.text
    assert not (tmp_path / "report" / "optuna.html").exists()


def test_stopped_and_failed_trials_keep_their_states_and_have_no_values() -> None:
    study = study_of(make_config(), list(make_trials()), NAMES)
    states = [trial.state.name for trial in study.get_trials()]
    assert states == ["COMPLETE"] * 5 + ["PRUNED"] * 2 + ["FAIL"]
    assert [trial.values is None for trial in study.get_trials()] == [False] * 5 + [True] * 3


def test_weights_of_a_simplex_and_conditional_keys_are_plotted_as_trials_had_them() -> None:
    parameters = {
        "mixture.task_weights": {"simplex": ["fluency", "clarity"]},
        "lora.use_rslora": {"choices": [True, False]},
        "lora.alpha": {"low": 4, "high": 32, "when": {"lora.use_rslora": True}},
        "lora.target_modules": {"choices": [["q_proj"], ["q_proj", "v_proj"]]},
    }
    config = validate(SweepConfig, {"name": "x", "search": {"parameters": parameters}}, where="space")
    weights = {"mixture.task_weights.fluency": 0.25, "mixture.task_weights.clarity": 0.75}
    points = [
        {**weights, "lora.use_rslora": True, "lora.alpha": 8, "lora.target_modules": ["q_proj"]},
        {**weights, "lora.use_rslora": False, "lora.target_modules": ["q_proj", "v_proj"]},
    ]
    trials = [dataclasses.replace(trial, params=point) for trial, point in zip(make_trials(), points, strict=False)]
    found = [trial.params for trial in study_of(config, trials, NAMES).get_trials()]
    assert found == [
        {**points[0], "lora.target_modules": '["q_proj"]'},
        {**points[1], "lora.target_modules": '["q_proj", "v_proj"]'},
    ]
