"""The parts of the recipe that need no engine: batches, masks, the learning rate and DeepSpeed's settings."""

from __future__ import annotations

import pytest

from mixwright.config import TrainConfig
from mixwright.train import batches, zero
from mixwright.train.loop import keep_steps_before, rate_factor


def rows_of(lengths: list[int]) -> list[list[int]]:
    """Rows of these many tokens that share nothing."""
    return [[1000 * index + place for place in range(length)] for index, length in enumerate(lengths)]


def test_every_row_of_a_step_goes_to_exactly_one_worker() -> None:
    for rows, workers in ((1, 2), (5, 3), (16, 2), (23, 4)):
        tokens = rows_of([7 + 5 * (position % 4) for position in range(rows)])
        plan = [
            batches.passes_of_step(step, [tokens[position] for position in step], workers, tokens_per_pass=40)
            for step in (batches.rows_of_step(number, rows, 8) for number in range(batches.steps_in(rows, 8)))
        ]
        taken = [position for step in plan for own in step for passed in own for position in passed]
        assert sorted(taken) == list(range(rows))
        assert all(len({len(own) for own in step}) == 1 for step in plan), "all workers make the same number of passes"


def test_passes_compute_no_more_tokens_than_allowed_but_a_single_longer_row() -> None:
    ((first, second, third),) = batches.passes_of_step(range(5), rows_of([91, 31, 11, 51, 21]), 1, tokens_per_pass=80)
    assert (first, second, third) == ([0], [3, 1], [4, 2])


def test_a_pass_counts_what_its_rows_share_once() -> None:
    start = list(range(60))
    rows = [[*start, *range(100 * index, 100 * index + 21)] for index in range(1, 4)]
    assert batches.passes_of_step(range(3), rows, 1, tokens_per_pass=120) == [[[0, 1, 2]]]


def test_workers_get_like_numbers_of_tokens() -> None:
    rows = rows_of([101, 11, 11, 11, 11, 11, 31, 21])
    one, other = batches.passes_of_step(range(8), rows, 2, tokens_per_pass=1000)
    assert [sum(len(rows[position]) - 1 for passed in own for position in passed) for own in (one, other)] == [100, 100]


def test_rows_that_begin_alike_meet_on_a_worker() -> None:
    starts = [list(range(50)), list(range(500, 550))]
    rows = [[*starts[index % 2], *range(1000 + 10 * index, 1010 + 10 * index)] for index in range(8)]
    dealt = batches.passes_of_step(range(8), rows, 2, tokens_per_pass=1000)
    assert sorted(sorted(own[0]) for own in dealt) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_worker_without_a_row_makes_empty_passes() -> None:
    assert batches.passes_of_step(range(1), rows_of([9]), 3, tokens_per_pass=80) == [[[0]], [[]], [[]]]


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
