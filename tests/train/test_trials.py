"""Training trials for real, with DeepSpeed, on the tiny model: every ZeRO stage, switching, resuming, failing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from distributed_trials import FirstLogit, Step, config, run_trials
from scripts import RANK_4, SCRIPT

from mixwright.store.vllm import VllmFit, vllm_fit


def losses(run_dir: Path, trial: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (run_dir / "trials" / trial / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_zero_stage_takes_the_same_steps(stages: dict, stage: int) -> None:
    assert losses(stages[stage][0], "trial_0000") == pytest.approx(losses(stages[0][0], "trial_0000"), abs=1e-5)


def test_many_short_passes_of_two_workers_learn_what_one_long_pass_of_one_worker_does(
    stages: dict, tiny_model: Path, tmp_path
) -> None:
    settings = config(tiny_model, gradient_accumulation=4, tokens_per_pass=4096)
    run_trials(settings, tmp_path, SCRIPT[:2], world_size=1)
    assert losses(tmp_path, "trial_0000") == pytest.approx(losses(stages[0][0], "trial_0000"), abs=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_training_lowers_the_loss(stages: dict, stage: int) -> None:
    first, *_, last = losses(stages[stage][0], "trial_0001")
    assert last < first - 0.1


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_trial_on_warm_workers_and_resumed_from_its_checkpoint_equals_the_same_trial_in_one_go(stages: dict, stage: int) -> None:
    run_dir, records = stages[stage]
    assert losses(run_dir, "trial_0002") == pytest.approx(losses(run_dir, "trial_0000"), abs=1e-5)
    assert records[5].objectives.seen == pytest.approx(records[1].objectives.seen, abs=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_saved_adapter_is_whole_and_not_zero(stages: dict, stage: int) -> None:
    run_dir, _ = stages[stage]
    folder = run_dir / "trials" / "trial_0001" / "adapter"
    tensors = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    outer = {name: tensor for name, tensor in tensors.items() if "lora_B" in name}
    assert (folder / "COMPLETE").exists()
    assert len(outer) == 2 * 7
    assert all(tensor.shape[1] == 8 and bool(tensor.any()) for tensor in outer.values())


@pytest.mark.parametrize("stage", [0, 3])
def test_the_saved_adapter_gives_the_score_that_the_trial_reported(stages: dict, stage: int, tiny_model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run_dir, records = stages[stage]
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, run_dir / "trials" / "trial_0001" / "adapter")
    assert FirstLogit()(tuned, config(tiny_model)).objectives.seen == pytest.approx(records[3].objectives.seen, abs=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_vllm_would_serve_every_exported_adapter(stages: dict, stage: int, tiny_model: Path) -> None:
    for trial, rank in (("trial_0000", 4), ("trial_0001", 8)):
        folder = stages[stage][0] / "trials" / trial / "adapter"
        assert vllm_fit(folder) == VllmFit(problems=(), max_lora_rank=8)
        settings = json.loads((folder / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == str(tiny_model)
        assert (settings["r"], settings["lora_alpha"]) == (rank, 2 * rank)


def test_bf16_keeps_fp32_masters_at_every_stage(tiny_model: Path, tmp_path: Path) -> None:
    for stage in (0, 2):
        run_trials(config(tiny_model, zero_stage=stage, precision="bf16"), tmp_path / str(stage), SCRIPT[:2], world_size=1)
    assert losses(tmp_path / "0", "trial_0000") == pytest.approx(losses(tmp_path / "2", "trial_0000"), abs=2e-3)


def test_a_loss_that_is_not_a_number_ends_the_trial_with_its_cause_and_the_worker_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    broken = {**RANK_4, "train.learning_rate": 1e30, "train.max_grad_norm": 1e30}
    records = run_trials(config(tiny_model), tmp_path, [Step("trial_0000", broken, 1), Step("trial_0001", RANK_4, 0)], world_size=1)
    assert "TrainError: the loss is nan at step" in records[0]
    assert "lower train.learning_rate" in records[0]
    assert records[1].step > 0


def test_full_fine_tuning_saves_a_model_that_loads_as_one(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = config(tiny_model, learning_rate=1e-3)
    settings = settings.with_values({"model.tuning": "full"})
    *_, record = run_trials(settings, tmp_path, [Step("trial_0000", {}, 0), Step("trial_0000", {}, 1)], world_size=1)
    first, *_, last = losses(tmp_path, "trial_0000")
    assert last < first - 0.2
    folder = tmp_path / "trials" / "trial_0000" / "adapter"
    tuned, base = AutoModelForCausalLM.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(tiny_model)
    assert AutoTokenizer.from_pretrained(folder).eos_token == "<|im_end|>"
    assert FirstLogit()(tuned, settings).objectives.seen == pytest.approx(record.objectives.seen, abs=1e-6)
    assert not torch.equal(tuned.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)


def test_a_checkpoint_of_another_number_of_workers_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    run_trials(config(tiny_model), tmp_path, SCRIPT[:1], world_size=1)
    (record,) = run_trials(config(tiny_model), tmp_path, SCRIPT[1:2], world_size=2)
    assert "written by 1 workers, this trial has 2" in record


def test_a_rung_on_disk_is_handed_back_without_training(tiny_model: Path, tmp_path: Path) -> None:
    (before,) = run_trials(config(tiny_model), tmp_path, SCRIPT[:1], world_size=1)
    lines = len(losses(tmp_path, "trial_0000"))
    (again,) = run_trials(config(tiny_model), tmp_path, SCRIPT[:1], world_size=1)
    assert again == before
    assert len(losses(tmp_path, "trial_0000")) == lines


def test_a_point_repeated_with_another_seed_learns_the_same_rows_another_way(tiny_model: Path, tmp_path: Path) -> None:
    seeds = {"trial_0000": {}, "trial_0001": {"train.seed": 0}, "trial_0002": {"train.seed": 1}}
    script = [Step(trial, {**RANK_4, **values}, rung) for trial, values in seeds.items() for rung in (0, 1)]
    records = run_trials(config(tiny_model), tmp_path, script, world_size=1)
    assert losses(tmp_path, "trial_0000") == losses(tmp_path, "trial_0001")  # search.seed is 0
    assert losses(tmp_path, "trial_0000") != pytest.approx(losses(tmp_path, "trial_0002"), abs=1e-4)
    assert records[1].tokens == records[5].tokens
    assert records[1].objectives.seen != records[5].objectives.seen
