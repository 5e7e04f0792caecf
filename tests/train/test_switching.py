"""A trial on a used lane gives the numbers of the same trial on a fresh one, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from distributed_trials import Lane, config, run_lanes
from scripts import FULL_POINT, OUT_OF_MEMORY, POINT, Stage, both_rungs, switching

STAGES = (0, 1, 2, 3)
WEIGHTS = {"switched": "adapter_model.safetensors", "full": "model.safetensors"}


def steps(run_dir: Path, trial: str) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (run_dir / "trials" / trial / "metrics.jsonl").read_text().splitlines()]
    return [tuple(line[key] for key in ("step", "examples", "tokens", "loss", "learning_rate", "grad_norm")) for line in lines]


def scores(records: list[Any]) -> list[Any]:
    return [(record.objectives, record.task_scores, record.train_loss, record.tokens) for record in records]


def tensors(run_dir: Path, trial: str, file: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run_dir / "trials" / trial / "adapter" / file)


def assert_alike(run_dir: Path, first: str, second: str, file: str) -> None:
    assert steps(run_dir, first) == steps(run_dir, second)
    ours, theirs = tensors(run_dir, first, file), tensors(run_dir, second, file)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("tuned", ["switched", "full"])
@pytest.mark.parametrize("stage", STAGES)
def test_after_a_trial_that_was_stopped_early_all_numbers_are_those_of_a_fresh_lane(
    all_stages: dict[int, Stage], stage: int, tuned: str
) -> None:
    run_dir, records = getattr(all_stages[stage], tuned)
    assert len(steps(run_dir, "stopped_early")) < len(steps(run_dir, "fresh"))
    assert_alike(run_dir, "fresh", "after_stop", WEIGHTS[tuned])
    assert scores(records[3:5]) == scores(records[:2])


@pytest.mark.parametrize("tuned", ["switched", "full"])
@pytest.mark.parametrize("stage", STAGES)
def test_after_a_loss_that_is_not_a_number_all_numbers_are_those_of_a_fresh_lane(
    all_stages: dict[int, Stage], stage: int, tuned: str
) -> None:
    run_dir, records = getattr(all_stages[stage], tuned)
    assert "the loss is nan" in records[5]
    assert_alike(run_dir, "fresh", "after_break", WEIGHTS[tuned])
    assert scores(records[6:8]) == scores(records[:2])


@pytest.mark.parametrize("stage", STAGES)
def test_full_fine_tuning_keeps_tied_weights_tied(all_stages: dict[int, Stage], stage: int) -> None:
    saved = tensors(all_stages[stage].full[0], "after_break", WEIGHTS["full"])
    assert "model.embed_tokens.weight" in saved
    assert "lm_head.weight" not in saved


@pytest.mark.parametrize("stage", STAGES)
def test_adapters_whole_models_and_other_base_models_follow_one_another_as_on_fresh_lanes(
    all_stages: dict[int, Stage], stage: int
) -> None:
    run_dir, records = all_stages[stage].methods
    for again in ("adapter_after_whole", "adapter_after_other"):
        assert_alike(run_dir, "adapter", again, WEIGHTS["switched"])
    assert_alike(run_dir, "whole", "whole_after_other", WEIGHTS["full"])
    assert scores(records[4:6]) == scores(records[12:14]) == scores(records[:2])
    assert scores(records[10:12]) == scores(records[2:4])
    switched, full = all_stages[stage].switched, all_stages[stage].full
    assert scores(records[:2]) == scores(switched[1][:2])
    assert scores(records[2:4]) == scores(full[1][:2])
    for kind, file in (("adapter", WEIGHTS["switched"]), ("whole", WEIGHTS["full"])):
        ours, others = tensors(run_dir, kind, file), tensors(run_dir, f"other_{kind}", file)
        assert ours.keys() == others.keys()
        assert not any(torch.equal(ours[name], others[name]) for name in ours if "lora_A" not in name and "norm" not in name)


def test_trials_that_ask_by_other_templates_follow_one_another_as_on_fresh_lanes(tiny_model: Path, tmp_path: Path) -> None:
    searched = {"model.template": {"choices": ["own", "alpaca"]}}
    own, alpaca = ({**POINT, "model.template": template} for template in ("own", "alpaca"))
    script = [*both_rungs("own", own), *both_rungs("alpaca", alpaca), *both_rungs("own_again", own)]
    lanes = [
        Lane(config(tiny_model, searched=searched), tmp_path / "both", script),
        Lane(config(tiny_model).with_values({"model.template": "alpaca"}), tmp_path / "alpaca", both_rungs("fresh", alpaca)),
    ]
    used, fresh = run_lanes(lanes, world_size=1)
    assert_alike(lanes[0].run_dir, "own", "own_again", WEIGHTS["switched"])
    assert steps(lanes[0].run_dir, "alpaca") == steps(lanes[1].run_dir, "fresh")
    assert scores(used[2:4]) == scores(fresh)
    assert scores(used[2:4]) != scores(used[:2])


def test_a_used_lane_in_bf16_and_one_that_ran_out_of_memory_are_as_fresh(tiny_model: Path, tmp_path: Path) -> None:
    full = config(tiny_model, precision="bf16").with_values({"model.tuning": "full"})
    lanes = [
        Lane(config(tiny_model), tmp_path / "memory", OUT_OF_MEMORY),
        Lane(full, tmp_path / "bf16", switching(FULL_POINT, {"mixture.generic_fraction": 0.75})),
    ]
    of_memory, _ = run_lanes(lanes, world_size=1)
    assert of_memory[2].startswith("OutOfMemoryError: out of memory after step ")
    assert "lower train.micro_batch_size" in of_memory[2]
    assert_alike(lanes[0].run_dir, "fresh", "after_break", WEIGHTS["switched"])
    assert_alike(lanes[1].run_dir, "fresh", "after_stop", WEIGHTS["full"])


def test_a_trial_that_cannot_be_entered_leaves_nothing_behind(tiny_model: Path, tmp_path: Path) -> None:
    settings = config(tiny_model)
    run_lanes([Lane(settings, tmp_path, both_rungs("of_one", {})[:1])], world_size=1)
    script = [*both_rungs("of_one", {})[1:], *both_rungs("next", {})]
    ((refused, *records),) = run_lanes([Lane(settings, tmp_path, script)], world_size=2)
    assert "written by 1 workers, this trial has 2" in refused
    assert records[-1].step == 5
