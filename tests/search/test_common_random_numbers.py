"""Trials of a sweep differ by what was searched and not by luck: adapters, rows, orders and questions are shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mixwright.config import ModelConfig, SweepConfig
from mixwright.evaluate.intervals import bootstrap_interval, row_influences
from mixwright.evaluate.runner import evaluation_rows
from mixwright.mixture import RankedPools
from mixwright.models import load_base, with_adapter
from mixwright.records import Example
from mixwright.scenarios import load_scenario

SPACE = SweepConfig.model_validate({"name": "x", "mixture": {"size": 60}, "search": {"seed": 5}})
TASKS = ("clarity", "fluency")


def examples(task: str) -> list[Example]:
    return [Example(id=f"{task}:{i}", source="s", task=task, text=f"t {i}", references=("r",)) for i in range(80)]


def adapter(model: Path, config: SweepConfig) -> dict[str, torch.Tensor]:
    tuned = with_adapter(
        load_base(ModelConfig(name=str(model)), torch.float32).model, config.lora, name="t", seed=config.trial_seed
    )
    return {name: value for name, value in tuned.named_parameters() if "lora_" in name}


def test_trials_of_equal_rank_start_from_the_same_adapter_and_another_seed_from_another(tiny_model: Path) -> None:
    one = adapter(tiny_model, SPACE.with_values({"lora.rank": 4, "train.learning_rate": 1e-3}))
    other = adapter(tiny_model, SPACE.with_values({"lora.rank": 4, "mixture.generic_fraction": 0.9}))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    reseeded = adapter(tiny_model, SPACE.with_values({"lora.rank": 4, "train.seed": 6}))
    assert any(not torch.equal(value, reseeded[name]) for name, value in one.items())


def test_trials_learn_nested_rows_in_one_order() -> None:
    pools = RankedPools({task: examples(task) for task in (*TASKS, "generic")})

    def learned(fraction: float, task: str) -> Sequence[str]:
        config = SPACE.with_values({"mixture.generic_fraction": fraction})
        mixture = pools.mixture(config.mixture, TASKS, seed=config.search.seed, order_seed=config.trial_seed)
        return [row.id for row in mixture.rows if row.task == task]

    for task in (*TASKS, "generic"):
        few, many = sorted((learned(0.2, task), learned(0.6, task)), key=len)
        assert 0 < len(few) < len(many)
        assert many[: len(few)] == few


def test_all_trials_are_asked_the_same_rows_in_the_same_words() -> None:
    scenario = load_scenario("writing")
    dev = {task.name: examples(task.name) for task in scenario.tasks}

    def asked(values: dict[str, object]) -> list[tuple[str, str]]:
        config = SPACE.with_values(values)
        rows = evaluation_rows(scenario, dev, rows=config.evaluation.dev_rows, seed=config.search.seed)
        return [(row.example.id, row.instruction) for row in rows]

    assert asked({"lora.rank": 4, "train.seed": 1}) == asked({"lora.rank": 64, "mixture.generic_fraction": 0.0})


def test_influences_of_rows_give_the_standard_error_that_the_bootstrap_finds() -> None:
    class Ratio:
        def from_totals(self, totals: np.ndarray) -> np.ndarray:
            return 100 * totals[..., 0] / totals[..., 1]

    rng = np.random.default_rng(0)
    statistics = np.stack([rng.integers(0, 5, 400), rng.integers(5, 9, 400)], axis=1).astype(float)
    influences = row_influences(Ratio(), statistics)
    interval = bootstrap_interval(Ratio(), statistics, draws=2000, seed=0)
    from_rows = (influences.var(ddof=1) / len(influences)) ** 0.5
    assert abs(from_rows - (interval.high - interval.low) / 3.92) < 0.08 * from_rows
    assert len(row_influences(Ratio(), statistics[:1])) == 0
