"""What a run may have otherwise when it goes on, and what more when it is extended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixwright.config import SweepConfig
from mixwright.errors import RunError
from mixwright.store import runs

PARAMETERS: dict[str, Any] = {
    "mixture.generic_fraction": {"low": 0.2, "high": 0.8},
    "lora.rank": {"choices": [8, 16]},
    "mixture.size": {"low": 40, "high": 80, "step": 20},
}


def config(parameters: dict[str, Any] | None = None, **search: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {"name": "a", "search": {"trials": 4, "parameters": PARAMETERS | (parameters or {}), **search}}
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    runs.open_run(tmp_path, config(), resume=False)
    yield tmp_path
    for lock in runs._LOCKS.values():
        lock.close()
    runs._LOCKS.clear()


@pytest.mark.parametrize(
    "wanted",
    [
        config(trials=9),
        config({"mixture.generic_fraction": {"low": 0.0, "high": 0.8}}),
        config({"lora.rank": {"choices": [4, 8, 16]}}),
        config({"mixture.size": {"low": 20, "high": 100, "step": 20}}),
        config(sampler="random"),
    ],
)
def test_a_search_may_grow(run_dir: Path, wanted: SweepConfig) -> None:
    runs.check_run(run_dir, wanted, resume=False, extend=True)


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        (
            config({"mixture.generic_fraction": {"low": 0.3, "high": 0.8}}),
            "generic_fraction: {low: 0.2, high: 0.8} there, {low: 0.3, high: 0.8} here (a range may be widened",
        ),
        (
            config({"lora.rank": {"choices": [8, 32]}}),
            "lora.rank: {choices: [8, 16]} there, {choices: [8, 32]} here (choices may be",
        ),
        (config({"lora.rank": {"low": 4, "high": 64}}), "(a range does not become choices, nor choices a range)"),
        (config({"mixture.size": {"low": 30, "high": 90, "step": 20}}), "by whole steps"),
        (
            config({"train.learning_rate": {"low": 1e-5, "high": 1e-3}}),
            "none there, {low: 1e-05, high: 0.001} here (trials have no",
        ),
        (config().with_values({"mixture.budget": "tokens"}), "mixture.budget: examples there, tokens here (all trials of a run"),
        (config().with_values({"evaluation.dev_rows": 99}), "evaluation.dev_rows: 16 there, 99 here"),
        (config(objective={"max_unseen_loss": 9.0}), "search.objective.max_unseen_loss: 1.0 there, 9.0 here"),
        (config(seed=7), "search.seed: 0 there, 7 here"),
    ],
)
def test_what_trials_share_is_refused_with_the_difference(run_dir: Path, wanted: SweepConfig, difference: str) -> None:
    with pytest.raises(RunError) as refused:
        runs.check_run(run_dir, wanted, resume=False, extend=True)
    assert difference in str(refused.value)


def test_a_search_that_has_grown_is_refused_on_resume_and_told_of_extend(run_dir: Path) -> None:
    wanted = config({"lora.rank": {"choices": [8, 16, 32]}})
    with pytest.raises(RunError, match=r"\[8, 16\]} there, {choices: \[8, 16, 32\]} here\); add --extend"):
        runs.check_run(run_dir, wanted, resume=True)


def test_extend_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="leave --extend out"):
        runs.check_run(tmp_path / "none", config(), resume=False, extend=True)
