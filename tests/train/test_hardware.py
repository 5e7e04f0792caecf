"""What is measured and counted at a run's start: the peak, the work of a step, memory, and the choices that hang on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from mixwright import native
from mixwright.config import LoraConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.models import with_adapter
from mixwright.records import GENERIC, Example
from mixwright.train import choices, compiling, hardware
from mixwright.train.compiling import CompileGain
from mixwright.train.flops import model_flops
from mixwright.train.sizes import model_sizes, planned_flops, training_gib

PEAKS = {"fp32": 1e12, "bf16": 3e12}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with known peaks and 8 GiB free."""
    monkeypatch.setattr(choices.hardware, "peak_flops", lambda precision, device: PEAKS[precision])
    monkeypatch.setattr("mixwright.train.precision.peak_flops", lambda precision, device: PEAKS[precision])
    monkeypatch.setattr(choices.hardware, "free_gib", lambda device, share: 8.0)


def config(model: Path, /, **train: object) -> SweepConfig:
    return SweepConfig.model_validate({"name": "t", "model": {"name": str(model)}, "lora": {"rank": 4}, "train": train})


def chosen(settings: SweepConfig, tokens: float = 1e4) -> choices.Choices:
    return choices.choose(settings, "cpu", tokens=tokens, share=1.0)


def test_the_peak_is_a_rate_that_a_product_has_and_is_measured_once() -> None:
    peak = hardware.peak_flops("fp32", "cpu")
    assert 1e8 < peak < 1e15
    assert hardware.peak_flops("fp32", "cpu") == peak


def test_measuring_the_peak_leaves_the_random_state_of_training_alone() -> None:
    hardware._peak_flops.cache_clear()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    hardware.peak_flops("fp32", "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_is_the_process_s_own_and_a_share_is_a_share() -> None:
    assert 0.05 < hardware.used_gib("cpu") < 100
    whole = hardware.free_gib("cpu")
    assert 0 < hardware.free_gib("cpu", share=0.25) < 0.5 * whole


def test_a_container_s_limit_counts_where_it_is_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**29}\n")
    assert hardware.free_gib("cpu") == pytest.approx(0.5)
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.free_gib("cpu") > 0.5


def test_a_frozen_base_costs_four_operations_a_parameter_and_what_is_learned_six(tiny_model: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    matrices = sum(parameter.numel() for name, parameter in base.named_parameters() if "proj" in name)
    output = base.get_output_embeddings().weight.numel()
    full = model_flops(base)
    assert (full.a_token, full.a_learned_token, full.a_pair) == (6 * matrices, 6 * output, 12 * 2 * 64)
    tuned = with_adapter(base, LoraConfig(rank=4), name="trial", seed=0)
    adapter = sum(parameter.numel() for parameter in tuned.parameters() if parameter.requires_grad)
    assert model_flops(tuned) == dataclasses.replace(full, a_token=4 * matrices + 6 * adapter, a_learned_token=4 * output)


def test_the_work_of_a_step_is_what_torch_counts_in_its_products(tiny_model: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")
    ids = torch.zeros((1, 50), dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids).logits.sum().backward()
    assert model_flops(model).of_step([50], computed=50, learned=50) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_the_planned_work_is_that_of_the_model_once_it_is_loaded(tiny_model: Path) -> None:
    settings = config(tiny_model)
    tuned = with_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), settings.lora, name="trial", seed=0)
    assert planned_flops(settings, model_sizes(settings)) == model_flops(tuned)
    full = settings.with_values({"model.tuning": "full"})
    assert planned_flops(full, model_sizes(full)) == model_flops(AutoModelForCausalLM.from_pretrained(tiny_model))


def test_activation_checkpointing_needs_less_memory(tiny_model: Path) -> None:
    settings = config(tiny_model)
    with_it, without = (training_gib(settings, model_sizes(settings), "bf16", activation_checkpointing=on) for on in (True, False))
    assert 0 < with_it < without


@pytest.mark.usefixtures("machine")
def test_the_faster_precision_is_taken_and_its_peak_handed_on(tiny_model: Path) -> None:
    found = chosen(config(tiny_model))
    assert (found.precision.precision, found.peak_flops) == ("bf16", 3e12)
    assert chosen(config(tiny_model, precision="fp32")).peak_flops == 1e12


@pytest.mark.usefixtures("machine")
def test_activations_are_kept_where_they_fit_and_computed_again_where_they_do_not(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not chosen(config(tiny_model)).activation_checkpointing.on
    monkeypatch.setattr(choices.hardware, "free_gib", lambda device, share: 0.01)
    switch = chosen(config(tiny_model)).activation_checkpointing
    assert switch.on
    assert "0.0 GiB free" in switch.reason
    assert not chosen(config(tiny_model, activation_checkpointing=False)).activation_checkpointing.on


@pytest.mark.usefixtures("machine")
def test_a_short_run_does_not_even_measure_what_compiling_would_give(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "measure_gain", lambda *given: pytest.fail("it takes longer than the run"))
    switch = chosen(config(tiny_model)).compile
    assert not switch.on
    assert "cannot earn back" in switch.reason


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("gain", "on"), [(1.5, True), (1.05, False), (0.9, False)])
def test_compiling_is_chosen_where_its_gain_over_the_run_is_more_than_its_cost(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, gain: float, on: bool
) -> None:
    monkeypatch.setattr(compiling, "measure_gain", lambda *given: CompileGain(speedup=gain, cost_s=40.0))
    a_token = planned_flops(config(tiny_model), model_sizes(config(tiny_model))).a_token
    tokens = 600.0 * PEAKS["bf16"] * choices.UTILISATION / a_token  # 600 seconds
    switch = chosen(config(tiny_model), tokens).compile
    assert switch.on == on
    assert switch.reason.endswith(f"({gain:.2f} x the speed of a layer, 40 s to compile, about 600 s of training a worker)")


@pytest.mark.usefixtures("machine")
def test_what_the_user_has_set_stands_and_one_line_says_all(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "why_not", lambda precision, device: "they are not compiled here; `make setup` does it")
    settings = config(tiny_model, precision="fp32", compile=True, activation_checkpointing=True, prepack=False)
    found = chosen(settings)
    assert found.applied_to(settings) == settings
    assert found.line == (
        "fp32, as configured; matrix products reach 1,000 GFLOP/s a worker; torch.compile on (as configured); "
        "activation checkpointing on (as configured); prepacked weights off (as configured); "
        "own operators off (they are not compiled here; `make setup` does it)"
    )


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("train", "model"), [({}, {"tuning": "full"}), ({"zero_stage": 3}, {}), ({"compile": True}, {}), ({}, {"quantization": "nf4"})]
)
def test_where_our_own_pass_is_not_taken_its_parts_are_said_to_be_off(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, train: dict[str, object], model: dict[str, object]
) -> None:
    monkeypatch.setattr(native, "why_not", lambda precision, device: "")
    assert chosen(config(tiny_model)).own_operators.on
    found = chosen(config(tiny_model, **train).with_values({f"model.{name}": value for name, value in model.items()}))
    assert [found.prepack.reason, found.own_operators.reason] == ["off (they are our own pass's, which is not taken)"] * 2


@pytest.mark.usefixtures("machine")
def test_no_option_is_left_open_once_choices_are_applied(tiny_model: Path) -> None:
    settings = config(tiny_model)
    train = chosen(settings).applied_to(settings).train
    assert (train.precision, train.compile, train.activation_checkpointing) == ("bf16", False, False)
    assert train.prepack != "auto"


def test_a_trial_s_tokens_are_guessed_from_characters_within_the_mixture() -> None:
    short = Example(id="s", source="s", task="t", text="x" * 40, references=("y" * 40,))
    long = Example(id="g", source="s", task=GENERIC, text="", instruction="x" * 400, references=("y" * 400,))
    data = PreparedData(train={"t": [short], GENERIC: [long]}, dev={}, test={}, report={})

    def tokens(**mixture: object) -> float:
        return choices.rough_tokens(SweepConfig.model_validate({"name": "t", "mixture": mixture}), data)

    assert tokens(size=10, generic_fraction=0.0) == 10 * (20 + choices.TEMPLATE_TOKENS)
    assert tokens(size=10, generic_fraction=1.0) == 10 * (200 + choices.TEMPLATE_TOKENS)
    assert tokens(size=10, generic_fraction=0.5, budget="scenario_examples") == 2 * tokens(size=10, generic_fraction=0.5)
    assert tokens(size=5000, budget="tokens") == 5000


@pytest.mark.slow
def test_compiled_layers_give_the_losses_of_the_plain_ones(tiny_model: Path) -> None:
    from mixwright.prompts import Rendered
    from mixwright.train.attention import packed_rows_seen_by
    from mixwright.train.loss import ResponseLoss
    from mixwright.train.packing import pack

    model = with_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(rank=4), name="trial", seed=0).train()
    loss = ResponseLoss(model, fused=False)
    rows = [Rendered(token_ids=(first, *range(5, 5 + length)), prompt_length=3) for first, length in enumerate((30, 47, 70))]
    made = [pack(rows[:number], "cpu") for number in (1, 2, 3)]
    with packed_rows_seen_by(model.get_base_model()):
        plain = [loss(batch).item() for batch in made]
        compiling.set_compiled(model, compiled=True)
        compiled = []
        for batch in made:
            value = loss(batch)
            value.backward()
            compiled.append(value.item())
        assert compiled == pytest.approx(plain, rel=1e-4)
        with compiling.uncompiled():
            assert [loss(batch).item() for batch in made] == plain
        compiling.set_compiled(model, compiled=False)
        assert [loss(batch).item() for batch in made] == plain


@pytest.mark.slow
def test_the_gain_of_compiling_is_measured_on_a_layer(tiny_model: Path) -> None:
    gain = compiling.measure_gain(config(tiny_model), "fp32", "cpu")
    assert gain.speedup > 0
    assert gain.cost_s > 0


@pytest.mark.usefixtures("machine")
def test_weights_are_prepacked_where_that_is_faster_and_fits(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices.prepacked, "available", lambda precision, device: True)
    monkeypatch.setattr(choices.prepacked, "measure_gain", lambda outputs, inputs: 1.2)
    found = chosen(config(tiny_model))
    assert found.prepack.on
    assert "1.20 x" in found.line
    assert found.applied_to(config(tiny_model)).train.prepack is True
    assert not chosen(config(tiny_model, prepack=False)).prepack.on
    assert not chosen(config(tiny_model, zero_stage=3)).prepack.on
    monkeypatch.setattr(choices.prepacked, "measure_gain", lambda outputs, inputs: 0.9)
    assert not chosen(config(tiny_model)).prepack.on
    assert chosen(config(tiny_model, prepack=True)).prepack.on
    monkeypatch.setattr(choices.prepacked, "measure_gain", lambda outputs, inputs: 1.2)
    monkeypatch.setattr(choices.hardware, "free_gib", lambda device, share: 1e-6)
    assert "GiB free" in chosen(config(tiny_model)).prepack.reason
