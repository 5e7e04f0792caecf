"""The parts of the recipe that need no engine: batches, masks, the learning rate and DeepSpeed's settings."""

from __future__ import annotations

import pytest
import torch

from mixwright.config import TrainConfig
from mixwright.prompts import Rendered
from mixwright.train import batches, zero
from mixwright.train.loop import keep_steps_before, rate_factor
from mixwright.train.loss import ResponseLoss


def row(length: int, prompt: int) -> Rendered:
    return Rendered(token_ids=tuple(range(5, 5 + length)), prompt_length=prompt)


def test_every_row_of_a_step_goes_to_exactly_one_worker() -> None:
    for rows in (1, 5, 16, 23):
        taken = [
            position
            for step in range(batches.steps_in(rows, 8))
            for rank in range(2)
            for micro in batches.micro_batches(batches.rows_of_step(step, rows, 8), rank, 2, 2, 2)
            for position in micro
        ]
        assert sorted(taken) == list(range(rows))


def test_a_worker_makes_the_same_number_of_passes_in_a_short_last_step() -> None:
    assert [len(micro) for micro in batches.micro_batches(range(1), 1, 2, 2, 3)] == [0, 0, 0]


def test_prompt_and_padding_are_not_learned() -> None:
    batch = batches.collate([row(6, 4), row(3, 1)], pad_token_id=0, device="cpu")
    assert batch.labels_BT.tolist() == [[-100, -100, -100, -100, 9, 10], [-100, 6, 7, -100, -100, -100]]
    assert batch.attention_mask_BT.sum(dim=1).tolist() == [6, 3]


def test_the_response_loss_equals_the_full_cross_entropy_of_the_learned_tokens(tiny_model) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    batch = batches.collate([row(12, 7), row(9, 3)], pad_token_id=0, device="cpu")
    logits = model(input_ids=batch.input_ids_BT, attention_mask=batch.attention_mask_BT).logits
    expected = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, 260), batch.labels_BT[:, 1:].reshape(-1), ignore_index=-100, reduction="sum"
    )
    assert float(ResponseLoss(model)(batch)) == pytest.approx(float(expected), rel=1e-5)


def test_padding_does_not_change_a_row_s_loss(tiny_model) -> None:
    from transformers import AutoModelForCausalLM

    loss = ResponseLoss(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32))
    rows = [row(20, 7), row(9, 3)]
    together = float(loss(batches.collate(rows, 0, "cpu")))
    alone = sum(float(loss(batches.collate([item], 0, "cpu"))) for item in rows)
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_rate_warms_up_from_above_zero_peaks_at_one_and_ends_at_zero() -> None:
    for schedule in ("cosine", "linear"):
        train = TrainConfig(warmup_fraction=0.2, schedule=schedule)
        rates = [rate_factor(step, 50, train) for step in range(51)]
        assert 0 < rates[0] < rates[9] < 1
        assert rates[10] == 1.0
        assert rates[50] == pytest.approx(0.0, abs=1e-9)
        assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_constant_schedule_without_warm_up_is_flat() -> None:
    assert {rate_factor(step, 10, TrainConfig(schedule="constant", warmup_fraction=0.0)) for step in range(10)} == {1.0}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_deepspeed_accepts_the_settings_of_every_stage(stage: int) -> None:
    settings = zero.deepspeed_config(TrainConfig(zero_stage=stage, micro_batch_size=3, gradient_accumulation=2), "fp32", 4)
    assert settings["train_batch_size"] == 3 * 2 * 4
    assert settings["zero_optimization"]["stage"] == stage


def test_bf16_never_runs_at_stage_zero() -> None:
    assert zero.effective_stage(TrainConfig(zero_stage=0), "bf16") == 1
    assert zero.effective_stage(TrainConfig(zero_stage=0), "fp32") == 0


def test_lines_after_the_checkpoint_and_a_torn_one_are_dropped_before_a_trial_goes_on(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    keep_steps_before(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_precision_follows_the_user_s_word() -> None:
    from mixwright.train.precision import choose_precision

    assert choose_precision(TrainConfig(precision="fp32")).precision == "fp32"
    chosen = choose_precision(TrainConfig(precision="auto"))
    assert chosen.precision in ("bf16", "fp32")
    assert "measured" in chosen.reason
