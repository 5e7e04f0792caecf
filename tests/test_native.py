"""Our own operators give what torch's give in fp32, up to one rounding to bf16, at any width and with any number of rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixwright import native
from mixwright.native import CACHE_VARIABLE, use_own_compiler
from mixwright.train import attention, kernels

PROGRAMS = str(Path(sys.executable).parent)
needs_operators = pytest.mark.skipif(bool(native.why_not("bf16", "cpu")), reason=native.why_not("bf16", "cpu"))
ROUNDING = 2**-7
"""bf16 keeps eight bits; a sum of two rounded terms may be off by one of the last."""


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def on_both(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], Any]) -> tuple[Any, Any]:
    """By our operators, and by torch's."""
    ours = compute()
    with monkeypatch.context() as without:
        without.setattr(native, "_loaded", lambda: None)
        return ours, compute()


def through(function: Any, x: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Output, and the gradient of x for an uneven gradient of the output."""
    x = x.detach().requires_grad_(True)
    out = function.apply(x, *others)
    out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype))
    assert x.grad is not None
    return out.detach(), x.grad


@needs_operators
@pytest.mark.parametrize("width", [576, 33, 31, 1])
def test_the_norm_and_its_gradient_agree(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    x, weight = draw(37, width), draw(width, seed=1)
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.RmsNorm, x, weight, 1e-5))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING, atol=2 * ROUNDING)


@needs_operators
@pytest.mark.parametrize("width", [1536, 40, 7])
def test_the_activation_and_its_gradient_agree(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    gate_up = 4 * draw(19, 2 * width)
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.SwiGlu, gate_up))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@needs_operators
@pytest.mark.parametrize("width", [64, 20, 2])
def test_rotation_agrees_where_heads_are_part_of_wider_rows(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    angles = draw(23, 1, width // 2, seed=1).float()
    cos, sin = (torch.cat([turn, turn], -1).bfloat16() for turn in (angles.cos(), angles.sin()))
    x = draw(23, 5, width)[:, :3]
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.Rotary, x, cos, sin))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING, atol=ROUNDING)


@needs_operators
@pytest.mark.parametrize("vocabulary", [1000, 5])
def test_the_loss_over_a_vocabulary_and_its_gradient_agree(monkeypatch: pytest.MonkeyPatch, vocabulary: int) -> None:
    hidden, head = draw(29, 16), draw(vocabulary, 16, seed=1)
    targets = torch.arange(29) % vocabulary
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.FrozenHeadLoss, hidden, head, targets))
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(ours[1], theirs[1], rtol=2 * ROUNDING, atol=0.05)


@needs_operators
@pytest.mark.parametrize(("known", "queries"), [(0, 70), (40, 33), (3, 1)])
def test_no_query_looks_at_keys_behind_it(monkeypatch: pytest.MonkeyPatch, known: int, queries: int) -> None:
    heads = 3
    q, k = 3 * draw(2, heads * queries, 16), draw(2, known + queries, 16, seed=1)
    ours, theirs = on_both(monkeypatch, lambda: attention._weights(q, k, known, queries, 0.25))
    torch.testing.assert_close(ours, theirs, rtol=2 * ROUNDING, atol=ROUNDING)
    seen = torch.ones(queries, known + queries).tril(known).bool().repeat(heads, 1)
    assert (ours[:, ~seen] == 0).all()
    torch.testing.assert_close(ours.float().sum(-1), torch.ones(2, heads * queries), rtol=0.0, atol=0.02)


@needs_operators
@pytest.mark.parametrize("rows", [1, 8, 67])
@pytest.mark.parametrize(("ranks", "widths"), [((16, 16, 16), (576, 192, 192)), ((3,), (50,)), ((40, 24), (33, 31))])
def test_an_adapter_s_part_is_added_in_fp32_and_rounded_once(rows: int, ranks: tuple[int, ...], widths: tuple[int, ...]) -> None:
    channels, total = 45, sum(ranks) + -sum(ranks) % 16
    x, y = draw(rows + 2, channels)[1:-1], draw(rows + 2, sum(widths), seed=1)[1:-1]
    inner, outer = draw(channels, total, seed=2).float() / 7, torch.zeros(total, sum(widths))
    blocks: list[int] = []
    row = column = 0
    for rank, width in zip(ranks, widths, strict=True):
        outer[row : row + rank, column : column + width] = draw(rank, width, seed=row + 3).float() / 3
        blocks += [row, rank, column, width]
        row, column = row + rank, column + width
    inner[:, row:] = 0
    exact = y.double() + x.double() @ inner.double() @ outer.double()
    torch.ops.mixwright.add_low_rank_(y, x, inner, outer, blocks)
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=1e-4)


@needs_operators
@pytest.mark.parametrize("width", [64, 128])
def test_attention_over_a_cache_is_that_of_each_token_over_its_own_slot(width: int) -> None:
    heads, key_heads, slots, length = 6, 2, 4, 70
    k, v = draw(slots, key_heads, length, width), draw(slots, key_heads, length, width, seed=1)
    of_token, positions = torch.tensor([2, 2, 2, 2, 2, 0, 3, 3]), torch.tensor([10, 11, 12, 13, 14, 0, 68, 69])
    q = 2 * draw(len(of_token), heads + 3, width, seed=2)[:, :heads]
    found = torch.ops.mixwright.attend(q, k, v, of_token, positions, width**-0.5)
    for token, (slot, position) in enumerate(zip(of_token.tolist(), positions.tolist(), strict=True)):
        seen_k, seen_v = (side[slot, :, : position + 1].double().repeat_interleave(heads // key_heads, 0) for side in (k, v))
        weights = (seen_k @ q[token].double()[:, :, None] * width**-0.5).softmax(1)
        exact = (weights * seen_v).sum(1).flatten()
        torch.testing.assert_close(found[token].double(), exact, rtol=2**-7, atol=2**-8)


def test_what_they_are_not_made_for_goes_to_torch() -> None:
    assert native.operators_for(torch.zeros(2, dtype=torch.float32)) is None
    assert native.operators_for(torch.zeros(2, dtype=torch.bfloat16, device="meta")) is None
    assert native.why_not("fp32", "cpu") == native.why_not("bf16", "cuda:0") != ""


def test_an_environment_in_which_they_are_not_compiled_says_how_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(native, "has_instructions", lambda: True)
    native._loaded.cache_clear()
    try:
        assert "make setup" in native.why_not("bf16", "cpu")
        assert native.operators_for(torch.zeros(2, dtype=torch.bfloat16)) is None
    finally:
        native._loaded.cache_clear()


def test_the_environments_own_programs_come_first_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", PROGRAMS, "/bin"]))
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    use_own_compiler()
    use_own_compiler()
    assert os.environ["PATH"].split(os.pathsep) == [PROGRAMS, "/usr/bin", "/bin"]


def test_extensions_are_kept_in_the_environment_unless_the_user_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    use_own_compiler()
    assert Path(os.environ[CACHE_VARIABLE]).parent == Path(sys.prefix)
    monkeypatch.setenv(CACHE_VARIABLE, "/elsewhere")
    use_own_compiler()
    assert os.environ[CACHE_VARIABLE] == "/elsewhere"


def test_an_environment_that_cannot_be_written_to_leaves_the_cache_where_torch_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", "/no/such/environment")
    use_own_compiler()
    assert CACHE_VARIABLE not in os.environ
