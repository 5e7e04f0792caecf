"""Packed rows learn what the same rows learn one by one: equal losses and gradients, on every way through a model."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mixwright import models, prepacked
from mixwright.config import LoraConfig, ModelConfig
from mixwright.llama import Unfit
from mixwright.prepacked import stacked
from mixwright.prompts import Rendered
from mixwright.train.attention import packed_rows_seen_by
from mixwright.train.fused_llama import FusedLlama
from mixwright.train.kernels import FrozenHeadLoss, chunk_size
from mixwright.train.loss import ResponseLoss
from mixwright.train.packing import pack

ADAPTER = "trial"
Gradients = dict[str, torch.Tensor]


def made_up_rows(seed: int = 0) -> list[Rendered]:
    """Eight rows of 12 to 50 tokens that begin alike for 3 to 9; the longest first, in more than one group, one row twice."""
    draw = random.Random(seed)
    start = [draw.randrange(5, 250) for _ in range(9)]
    rows = []
    for _ in range(7):
        tokens = start[: draw.randrange(3, 10)] + [draw.randrange(5, 250) for _ in range(draw.randrange(9, 42))]
        rows.append(Rendered(token_ids=tuple(tokens), prompt_length=len(tokens) - draw.randrange(1, 8)))
    ordered = sorted([*rows, rows[0]], key=lambda row: -len(row.token_ids))
    assert len(pack(ordered, "cpu").groups) > 1
    return ordered


def adapted(folder: Path, dtype: torch.dtype = torch.float32, **lora: Any) -> Any:
    """The tiny model with an adapter that is not at its start, where half of the gradients are zero."""
    base = models.load_base(ModelConfig(name=str(folder)), dtype)
    model = models.with_adapter(base.model, LoraConfig(rank=4, **lora), name=ADAPTER, seed=0)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    return model.train()


def one_by_one(model: Any, rows: list[Rendered]) -> torch.Tensor:
    """The plain definition: full logits of each row alone, cross-entropy of its response tokens."""
    total = torch.zeros(())
    for row in rows:
        ids_T = torch.tensor(row.token_ids)
        logits_TV = model(input_ids=ids_T[None]).logits[0].float()
        start = row.prompt_length
        total = total + nn.functional.cross_entropy(logits_TV[start - 1 : -1], ids_T[start:], reduction="sum")
    return total


def loss_and_gradients(model: Any, loss_of: Callable[[], torch.Tensor]) -> tuple[float, Gradients]:
    model.zero_grad()
    loss = loss_of()
    loss.backward()
    return loss.item(), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def packed(model: Any, rows: list[Rendered], **ways: bool) -> tuple[float, Gradients]:
    loss = ResponseLoss(model, adapter=ADAPTER, **ways)
    with packed_rows_seen_by(model.get_base_model() if hasattr(model, "get_base_model") else model):
        return loss_and_gradients(model, lambda: loss(pack(rows, "cpu")))


def assert_equal(ours: tuple[float, Gradients], expected: tuple[float, Gradients], tolerance: float = 1e-5) -> None:
    assert ours[0] == pytest.approx(expected[0], rel=tolerance)
    assert ours[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        largest = float(gradient.abs().max())
        assert float((ours[1][name] - gradient).abs().max()) <= 10 * tolerance * max(largest, 1e-6), name


def test_every_distinct_prefix_is_one_node_and_a_row_s_last_token_is_none() -> None:
    rows = [
        Rendered(token_ids=(1, 2, 3, 4), prompt_length=2),
        Rendered(token_ids=(1, 2, 5), prompt_length=2),
        Rendered(token_ids=(2, 2, 3), prompt_length=1),
    ]
    trie = pack(rows, "cpu")
    assert trie.token_ids_N.tolist() == [1, 2, 3, 2, 2]
    assert trie.positions_N.tolist() == [0, 1, 2, 0, 1]
    (group,) = trie.groups
    assert group.paths_BT.tolist() == [[0, 1, 2], [0, 1, 0], [3, 4, 0]]
    assert group.first_n.tolist() == [0, 1, 2, 6, 7]
    assert trie.learned_M.tolist() == [1, 2, 1, 3, 4]
    assert trie.targets_M.tolist() == [3, 4, 5, 2, 3]


def test_rows_of_unlike_lengths_are_laid_out_apart_and_share_their_prefixes() -> None:
    long, short = tuple(range(1, 31)), tuple(range(1, 11))
    rows = [Rendered(token_ids=(*tokens, 100 + index), prompt_length=5) for tokens in (long, short) for index in range(4)]
    trie = pack(rows, "cpu")
    assert [tuple(group.paths_BT.shape) for group in trie.groups] == [(1, 10), (4, 30)], "the short rows' nodes all stand there"
    assert [(group.known, len(group.first_n)) for group in trie.groups] == [(0, 10), (10, 20)]


def test_queries_are_asked_once_of_what_all_rows_begin_with(tiny_model: Path) -> None:
    start = tuple(range(5, 25))
    rows = [Rendered(token_ids=(*start, *range(30 + 40 * index, 60 + 32 * index)), prompt_length=24) for index in range(4)]
    trie = pack(rows, "cpu")
    assert [group.known for group in trie.groups] == [0, 20]
    asked = sum(len(group.paths_BT) * (group.paths_BT.shape[1] - group.known) for group in trie.groups)
    assert asked < sum(len(row.token_ids) for row in rows)
    model = adapted(tiny_model)
    assert_equal(packed(model, rows), loss_and_gradients(model, lambda: one_by_one(model, rows)))
    assert_equal(packed(model, rows, fused=False), loss_and_gradients(model, lambda: one_by_one(model, rows)))


WAYS = [
    pytest.param({}, id="fused"),
    pytest.param({"recompute": True}, id="fused-recompute"),
    pytest.param({"fused": False}, id="modules"),
    pytest.param({"fused": False, "recompute": True}, id="modules-recompute"),
]


@pytest.mark.parametrize("ways", WAYS)
def test_loss_and_gradients_are_those_of_the_rows_one_by_one(tiny_model: Path, ways: dict[str, bool]) -> None:
    model, rows = adapted(tiny_model), made_up_rows()
    assert_equal(packed(model, rows, **ways), loss_and_gradients(model, lambda: one_by_one(model, rows)))


def test_a_row_learns_nothing_from_the_rows_beside_it(tiny_model: Path) -> None:
    model, (row, *others) = adapted(tiny_model), made_up_rows()
    alone, _ = packed(model, [row])
    together, _ = packed(model, [row, *others])
    rest, _ = packed(model, others)
    assert together == pytest.approx(alone + rest, rel=1e-5)


@pytest.mark.parametrize("modules", [("q_proj", "v_proj"), ("k_proj", "up_proj"), ("down_proj",)])
def test_layers_without_an_adapter_go_the_fused_way_too(tiny_model: Path, modules: tuple[str, ...]) -> None:
    model, rows = adapted(tiny_model, target_modules=modules), made_up_rows()
    assert isinstance(FusedLlama.of(model, ADAPTER), FusedLlama)
    assert_equal(packed(model, rows), loss_and_gradients(model, lambda: one_by_one(model, rows)))


@pytest.mark.skipif(not prepacked.available("bf16", "cpu"), reason="no bf16 products of oneDNN here")
def test_prepacked_weights_learn_the_same_and_are_laid_out_once_for_all_trials(tiny_model: Path) -> None:
    model, rows = adapted(tiny_model, torch.bfloat16), made_up_rows()
    plain = packed(model, rows)
    assert_equal(packed(model, rows, prepack=True), plain, tolerance=5e-3)
    weights = [layer.gate_up.weight for layer in FusedLlama.of(model, ADAPTER, prepack=True)._layers]  # type: ignore[union-attr]
    again = [layer.gate_up.weight for layer in FusedLlama.of(model, ADAPTER, prepack=True)._layers]  # type: ignore[union-attr]
    assert all(one is other and one.forward is not None for one, other in zip(weights, again, strict=True))


def test_full_tuning_goes_through_the_modules_with_equal_gradients(tiny_model: Path) -> None:
    model = models.load_base(ModelConfig(name=str(tiny_model)), torch.float32).model.train()
    rows = made_up_rows()
    unfit = FusedLlama.of(model, ADAPTER)
    assert isinstance(unfit, Unfit)
    assert unfit.reason == "the whole model is tuned"
    assert_equal(packed(model, rows), loss_and_gradients(model, lambda: one_by_one(model, rows)))


def test_other_architectures_go_through_their_own_modules(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=260, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    torch.manual_seed(0)
    model = models.with_adapter(Qwen2ForCausalLM(config), LoraConfig(rank=4), name=ADAPTER, seed=0).train()
    rows = made_up_rows()
    assert "Qwen2ForCausalLM" in ResponseLoss(model, adapter=ADAPTER).way
    assert_equal(packed(model, rows), loss_and_gradients(model, lambda: one_by_one(model, rows)))


def test_bf16_stays_near_fp32(tiny_model: Path) -> None:
    rows = made_up_rows()
    exact, _ = packed(adapted(tiny_model), rows)
    rounded, _ = packed(adapted(tiny_model, torch.bfloat16), rows)
    assert rounded == pytest.approx(exact, rel=0.01)


def test_dropout_is_drawn_in_training_and_not_in_evaluation(tiny_model: Path) -> None:
    model, rows = adapted(tiny_model, dropout=0.5), made_up_rows()
    torch.manual_seed(0)
    first, second = packed(model, rows), packed(model, rows)
    assert first[0] != second[0]
    assert all(bool(gradient.isfinite().all()) for gradient in first[1].values())
    model.eval()
    assert packed(model, rows)[0] == packed(model, rows)[0] == pytest.approx(one_by_one(model, rows).item(), rel=1e-5)


def test_dropout_leaves_the_expected_loss_where_it_is(tiny_model: Path) -> None:
    """A first-order check of the scaling by 1 / (1 - p): the mean over draws is near the loss without dropout."""
    model, rows = adapted(tiny_model, dropout=0.1), made_up_rows()
    torch.manual_seed(0)
    drawn = sum(packed(model, rows)[0] for _ in range(40)) / 40
    assert drawn == pytest.approx(packed(model.eval(), rows)[0], rel=0.02)


def test_the_loss_over_a_large_vocabulary_in_chunks_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixwright.train.kernels.LOGITS_BYTES", 4 * 1000 * 7)
    assert chunk_size(1000) == 7
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(23, 16, requires_grad=True), torch.randn(1000, 16), torch.randint(0, 1000, (23,))
    expected = nn.functional.cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    (gradient,) = torch.autograd.grad(expected, hidden)
    loss = FrozenHeadLoss.apply(hidden, weight, targets)
    (ours,) = torch.autograd.grad(loss, hidden)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(ours, gradient, atol=1e-4)


def test_stacked_weights_are_held_once_and_stay_the_layers_own(tiny_model: Path) -> None:
    model = models.load_base(ModelConfig(name=str(tiny_model)), torch.float32).model
    attention = model.model.layers[0].self_attn
    weights = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    before = [weight.detach().clone() for weight in weights]
    whole = stacked(weights)
    assert torch.equal(whole, torch.cat(before))
    assert stacked(weights).data_ptr() == whole.data_ptr()
    weights[1].data.fill_(7.0)
    assert bool((whole[len(before[0]) : len(before[0]) + len(before[1])] == 7.0).all())
