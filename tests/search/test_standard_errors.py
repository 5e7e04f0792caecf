"""How far the choice of dev rows moves a rung's objectives."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixwright.config import LoraConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.models import load_base, with_adapter
from mixwright.records import GENERIC, Example
from mixwright.scenarios import Scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.train.resident import ADAPTER, Evaluation, Setup

SCENARIO = Scenario.model_validate(
    {
        "name": "shouting",
        "tasks": [
            {"name": "louder", "metric": "sari", "instructions": {"train": ["Say it loud."], "evaluation": ["Shout."]}},
            {"name": "softer", "metric": "sari", "seen": False, "instructions": {"train": ["Hush."], "evaluation": ["Whisper."]}},
        ],
    }
)


def example(task: str, number: int, text: str) -> Example:
    return Example(id=f"{task}:{number}", source="s", task=task, text=text, references=(f"{text} {'x' * number}",), instruction="")


def evaluator(model: Path, run_dir: Path, *, dev_rows: int) -> tuple[Callable[[Any], Evaluation], Any]:
    config = SweepConfig.model_validate(
        {"name": "t", "model": {"name": str(model)}, "evaluation": {"dev_rows": dev_rows, "retention_rows": 6, "max_new_tokens": 4}}
    )
    dev = {task: [example(task, number, f"word {number}") for number in range(8)] for task in ("louder", "softer", GENERIC)}
    data = PreparedData(train={}, dev=dev, test={}, report={})
    setup = Setup(config=config, scenario=SCENARIO, data=data, precision="fp32", run_dir=run_dir, make_evaluator=DevEvaluator)
    base = load_base(config.model, torch.float32)
    evaluate = DevEvaluator(setup, base)
    return lambda model: evaluate(model, config), base.model


def test_objectives_come_with_their_standard_errors(tiny_model: Path, tmp_path: Path) -> None:
    evaluate, model = evaluator(tiny_model, tmp_path, dev_rows=6)
    base = evaluate(model)
    assert base.objectives.retention == 0.0
    assert base.standard_errors is not None
    assert base.standard_errors.retention == 0.0  # the base model against itself, on every row
    tuned = with_adapter(model, LoraConfig(rank=2), name=ADAPTER, seed=0)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    found = evaluate(tuned)
    assert found.standard_errors is not None
    assert found.standard_errors.unseen is not None
    assert 0 < found.standard_errors.retention < abs(found.objectives.retention) + 5
    assert all(math.isfinite(value) for value in (found.standard_errors.seen, found.standard_errors.unseen))
    assert evaluate(tuned) == found


def test_one_dev_row_tells_no_standard_error(tiny_model: Path, tmp_path: Path) -> None:
    evaluate, model = evaluator(tiny_model, tmp_path, dev_rows=1)
    assert evaluate(model).standard_errors is None


@pytest.mark.parametrize("task", ["louder", "softer"])
def test_scores_of_every_task_stand_beside_the_means(tiny_model: Path, tmp_path: Path, task: str) -> None:
    evaluate, model = evaluator(tiny_model, tmp_path, dev_rows=3)
    found = evaluate(model)
    assert found.task_scores[task] == (found.objectives.seen if task == "louder" else found.objectives.unseen)
