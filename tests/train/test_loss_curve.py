"""The same rows in the same order give the stock trainer's loss curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_trials import Step, config, run_trials

from mixwright import models
from mixwright.train.resident import ADAPTER, Resident

RECIPE = {"micro_batch_size": 6, "gradient_accumulation": 1, "learning_rate": 5e-3, "schedule": "linear", "warmup_fraction": 0.0}


def stock_curve(model: Path, rows: list[Any], folder: Path) -> list[float]:
    """transformers' Trainer with padded batches, prompts masked, no shuffling; the loss of each step."""
    from torch.utils.data import SequentialSampler
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(train_dataset or self.train_dataset)

    settings = config(model, **RECIPE)
    base = models.load_base(settings.model, torch.float32)
    trainer = InOrder(
        model=models.with_adapter(base.model, settings.lora, name=ADAPTER, seed=settings.trial_seed),
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=RECIPE["micro_batch_size"],
            num_train_epochs=1,
            learning_rate=RECIPE["learning_rate"],
            lr_scheduler_type="linear",
            logging_steps=1,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=[
            {
                "input_ids": list(row.token_ids),
                "attention_mask": [1] * len(row.token_ids),
                "labels": [-100] * row.prompt_length + list(row.token_ids)[row.prompt_length :],
            }
            for row in rows
        ],
        data_collator=DataCollatorForSeq2Seq(base.tokenizer, padding=True),
    )
    trainer.train()
    return [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]


def test_our_curve_is_that_of_transformers_trainer(tiny_model: Path, tmp_path: Path) -> None:
    settings = config(tiny_model, **RECIPE)
    run_trials(settings, tmp_path / "ours", [Step("trial_0000", {}, 0), Step("trial_0000", {}, 1)], world_size=1)
    lines = (tmp_path / "ours" / "trials" / "trial_0000" / "metrics.jsonl").read_text().splitlines()
    ours = [json.loads(line)["loss"] for line in lines]
    expected = stock_curve(tiny_model, rows_of_trial(settings, tmp_path), tmp_path / "stock")
    assert len(ours) == 6
    assert ours[-1] < ours[0] - 0.1
    assert ours == pytest.approx(expected, abs=2e-4)


def rows_of_trial(settings: Any, folder: Path) -> list[Any]:
    """The mixture that the trial learned, rendered."""
    from distributed_trials import SCENARIO, FirstLogit, data

    from mixwright.train.resident import Setup

    setup = Setup(
        config=settings,
        scenario=SCENARIO,
        data=data(),
        precision="fp32",
        run_dir=folder,
        make_evaluator=lambda setup, base: FirstLogit(),
    )
    resident = Resident(setup, "cpu")
    return [resident.render(example) for example in resident.mixture(settings).rows]
