"""The plan of a sweep, held against what then happens."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tests.cluster.small_space import write_space

from mixwright.config import SweepConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.models import COMPLETE
from mixwright.scenarios import load_scenario
from mixwright.search import plan, sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run

SPACE = Path(__file__).parents[2] / "search_spaces" / "decoding.yaml"


def test_the_shipped_space_is_planned_without_its_adapter_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    config = load_config(SPACE, [f"model.name={tiny_model}", f"model.adapter={folder}"])
    made = plan.make(config, load_scenario(config.scenario))
    assert (made.trials, made.steps, made.tokens, made.hours) == (len(config.search.first), 0, (0, 0), 0.0)
    assert (made.answers, made.longest_answer) == (7 * config.evaluation.dev_rows, 40)
    lines = plan.describe(made).splitlines()
    assert lines[0] == "trials           8, without training"
    assert lines[1] == f"adapter          {folder} (not there yet)"
    folder.mkdir()
    (folder / COMPLETE).touch()
    assert plan.describe(made).splitlines()[1] == f"adapter          {folder}"


def small_config(folder: Path, tiny_model: Path, **changes: Any) -> SweepConfig:
    search = {
        "trials": 3,
        "parameters": {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}},
        "scheduler": {"kind": "none", "rungs": [0.5, 1.0]},
    }
    return load_config(
        write_space(
            folder,
            tiny_model,
            search=search,
            mixture={"size": 240, "max_repeats": 4.0},
            cluster={"lanes": 1, "dashboard": False},
            **changes,
        )
    )


def test_a_given_speed_and_a_price_give_time_and_money(tiny_model: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, tiny_model).with_values(
        {"cluster.tokens_per_second": 50.0, "cluster.price_per_worker_hour": 3.0}
    )
    made = plan.make(config, load_scenario(config.scenario))
    assert made.hours == pytest.approx(made.expected_tokens / 50 / 3600)
    text = plan.describe(made)
    assert f"money            {made.hours * 3:,.2f}" in text
    assert "given: 50 tokens/s" in text


def test_trials_that_train_the_best_points_again_are_planned_too(tiny_model: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, tiny_model)
    without = plan.make(config, load_scenario(config.scenario))
    confirming = config.with_values({"search.confirm": {"candidates": 1, "seeds": 3}})
    made = plan.make(confirming, load_scenario(config.scenario))
    assert made.expected_tokens == pytest.approx(2 * without.expected_tokens), "three trials, none stopped early, and three more"
    assert "3 more of the whole budget" in plan.describe(made)


def test_evaluations_are_counted_as_halving_would_have_them(tiny_model: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, tiny_model)
    assert plan.expected_evaluations(config) == 2
    assert plan.expected_evaluations(config.with_values({"search.scheduler.kind": "asha"})) == 1.5


@pytest.mark.slow
@pytest.mark.cluster
def test_a_measured_plan_is_within_30_percent_of_what_happens(tiny_model: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, tiny_model)
    scenario = load_scenario(config.scenario)
    planned = plan.make(config, scenario, measured=True)
    data = prepare(config.data, scenario, seed=0)
    run = open_run(tmp_path / "run", config, resume=False)
    with connected(config.cluster):
        trials = sweep.search(config, scenario, data, run).trials
    steps = [json.loads(line) for path in run.path.glob("trials/*/metrics.jsonl") for line in path.read_text().splitlines()]
    assert sum(trial.rungs[-1].tokens for trial in trials) == pytest.approx(planned.expected_tokens, rel=0.3)
    assert max(step["memory_gib"] for step in steps) == pytest.approx(planned.memory_gib, rel=0.3)
    # The first trial waits for its lane to start, which the plan counts apart. The study on disk is written a step behind, so its
    # clock says less than the trials' own.
    took_s = fmean(trial.rungs[-1].seconds + trial.switch_seconds for trial in trials if trial.switch_seconds is not None)
    assert took_s == pytest.approx(planned.trial_hours * 3600 / planned.trials, rel=0.3)
