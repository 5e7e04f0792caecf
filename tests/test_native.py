"""Our own operators give what torch's give, up to one rounding to bf16, or to fp32, at any width and with any number of rows."""

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
needs_operators = pytest.mark.skipif(bool(native.why_not("fp32", "cpu")), reason=native.why_not("fp32", "cpu"))
DTYPES = [torch.bfloat16, torch.float32] if native.has_bf16() else [torch.float32]
ROUNDING = {torch.bfloat16: 2**-7, torch.float32: 2**-19}
"""bf16 keeps eight bits, and a sum of two rounded terms may be off by one of the last; fp32 keeps 24, and long sums lose some."""


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param  # type: ignore[no-any-return]


def draw(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """The same numbers in every type: those that bf16 holds."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16().to(dtype)


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
def test_the_norm_and_its_gradient_agree(monkeypatch: pytest.MonkeyPatch, width: int, dtype: torch.dtype) -> None:
    x, weight = draw(37, width, dtype=dtype), draw(width, dtype=dtype, seed=1)
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.RmsNorm, x, weight, 1e-5))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING[dtype], atol=2 * ROUNDING[dtype])


@needs_operators
@pytest.mark.parametrize("width", [1536, 40, 7])
def test_the_activation_and_its_gradient_agree(monkeypatch: pytest.MonkeyPatch, width: int, dtype: torch.dtype) -> None:
    gate_up = 4 * draw(19, 2 * width, dtype=dtype)
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.SwiGlu, gate_up))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2 * ROUNDING[dtype], atol=2 * ROUNDING[dtype])


@needs_operators
def test_an_activation_of_any_size_agrees_and_what_is_no_number_stays_none(monkeypatch: pytest.MonkeyPatch) -> None:
    gates = torch.cat([torch.linspace(-200, 200, 4001), torch.tensor([-1e30, 1e30, torch.nan])])
    gate_up = torch.cat([gates, torch.ones_like(gates)])[None]
    ours, theirs = on_both(monkeypatch, lambda: kernels.SwiGlu.apply(gate_up))
    torch.testing.assert_close(ours, theirs, rtol=2**-21, atol=1e-37, equal_nan=True)


@needs_operators
@pytest.mark.parametrize("width", [64, 20, 2])
def test_rotation_agrees_where_heads_are_part_of_wider_rows(
    monkeypatch: pytest.MonkeyPatch, width: int, dtype: torch.dtype
) -> None:
    angles = draw(23, 1, width // 2, dtype=torch.float32, seed=1)
    cos, sin = (torch.cat([turn, turn], -1).to(dtype) for turn in (angles.cos(), angles.sin()))
    x = draw(23, 5, width, dtype=dtype)[:, :3]
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.Rotary, x, cos, sin))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


@needs_operators
@pytest.mark.parametrize("vocabulary", [1000, 5])
def test_the_loss_over_a_vocabulary_and_its_gradient_agree(
    monkeypatch: pytest.MonkeyPatch, vocabulary: int, dtype: torch.dtype
) -> None:
    hidden, head = draw(29, 16, dtype=dtype), draw(vocabulary, 16, dtype=dtype, seed=1)
    targets = torch.arange(29) % vocabulary
    ours, theirs = on_both(monkeypatch, lambda: through(kernels.FrozenHeadLoss, hidden, head, targets))
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(ours[1], theirs[1], rtol=2 * ROUNDING[dtype], atol=8 * ROUNDING[dtype])


@needs_operators
@pytest.mark.parametrize(("known", "queries"), [(0, 70), (40, 33), (3, 1)])
def test_no_query_looks_at_keys_behind_it(monkeypatch: pytest.MonkeyPatch, known: int, queries: int, dtype: torch.dtype) -> None:
    heads = 3
    q, k = 3 * draw(2, heads * queries, 16, dtype=dtype), draw(2, known + queries, 16, dtype=dtype, seed=1)
    ours, theirs = on_both(monkeypatch, lambda: attention._weights(q, k, known, queries, 0.25))
    torch.testing.assert_close(ours, theirs, rtol=2 * ROUNDING[dtype], atol=ROUNDING[dtype])
    seen = torch.ones(queries, known + queries).tril(known).bool().repeat(heads, 1)
    assert (ours[:, ~seen] == 0).all()
    torch.testing.assert_close(ours.float().sum(-1), torch.ones(2, heads * queries), rtol=0.0, atol=2.5 * ROUNDING[dtype])


@needs_operators
@pytest.mark.parametrize("rows", [1, 8, 67])
@pytest.mark.parametrize(("ranks", "widths"), [((16, 16, 16), (576, 192, 192)), ((3,), (50,)), ((40, 24), (33, 31))])
def test_an_adapter_s_part_is_added_in_fp32_and_rounded_once(
    rows: int, ranks: tuple[int, ...], widths: tuple[int, ...], dtype: torch.dtype
) -> None:
    channels, total = 45, sum(ranks) + -sum(ranks) % 16
    x, y = draw(rows + 2, channels, dtype=dtype)[1:-1], draw(rows + 2, sum(widths), dtype=dtype, seed=1)[1:-1]
    inner, outer = draw(channels, total, dtype=torch.float32, seed=2) / 7, torch.zeros(total, sum(widths))
    blocks: list[int] = []
    row = column = 0
    for rank, width in zip(ranks, widths, strict=True):
        outer[row : row + rank, column : column + width] = draw(rank, width, dtype=torch.float32, seed=row + 3) / 3
        blocks += [row, rank, column, width]
        row, column = row + rank, column + width
    inner[:, row:] = 0
    exact = y.double() + x.double() @ inner.double() @ outer.double()
    torch.ops.mixwright.add_low_rank_(y, x, inner, outer, blocks)
    torch.testing.assert_close(y.double(), exact, rtol=ROUNDING[dtype] / 2, atol=1e-4 if dtype is torch.bfloat16 else 1e-5)


@needs_operators
@pytest.mark.parametrize("width", [64, 128])
def test_attention_over_a_cache_is_that_of_each_token_over_its_own_slot(width: int, dtype: torch.dtype) -> None:
    heads, key_heads, slots, length = 6, 2, 4, 70
    k, v = draw(slots, key_heads, length, width, dtype=dtype), draw(slots, key_heads, length, width, dtype=dtype, seed=1)
    of_token, positions = torch.tensor([2, 2, 2, 2, 2, 0, 3, 3]), torch.tensor([10, 11, 12, 13, 14, 0, 68, 69])
    q = 2 * draw(len(of_token), heads + 3, width, dtype=dtype, seed=2)[:, :heads]
    found = torch.ops.mixwright.attend(q, k, v, of_token, positions, width**-0.5)
    for token, (slot, position) in enumerate(zip(of_token.tolist(), positions.tolist(), strict=True)):
        seen_k, seen_v = (side[slot, :, : position + 1].double().repeat_interleave(heads // key_heads, 0) for side in (k, v))
        weights = (seen_k @ q[token].double()[:, :, None] * width**-0.5).softmax(1)
        exact = (weights * seen_v).sum(1).flatten()
        torch.testing.assert_close(found[token].double(), exact, rtol=ROUNDING[dtype], atol=ROUNDING[dtype] / 2)


@needs_operators
def test_tensors_of_two_types_are_refused() -> None:
    with pytest.raises(RuntimeError, match="expected scalar type"):
        torch.ops.mixwright.rms_norm(torch.ones(2, 4), torch.ones(4, dtype=torch.bfloat16), 1e-5)


def test_what_they_are_not_made_for_goes_to_torch() -> None:
    for dtype, device in ((torch.float16, "cpu"), (torch.float64, "cpu"), (torch.float32, "meta"), (torch.bfloat16, "meta")):
        assert native.operators_for(torch.zeros(2, dtype=dtype, device=device)) is None
    assert native.why_not("fp16", "cpu") == native.why_not("bf16", "cuda:0") == native.why_not("fp32", "cuda:0") != ""


def test_a_processor_without_bf16_instructions_has_them_for_fp32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "has_instructions", lambda: True)
    monkeypatch.setattr(native, "has_bf16", lambda: False)
    monkeypatch.setattr(native, "_loaded", lambda: "the library")
    assert native.operators_for(torch.zeros(2)) == "the library"
    assert native.operators_for(torch.zeros(2, dtype=torch.bfloat16)) is None
    assert native.why_not("fp32", "cpu") == ""
    assert "AVX512-BF16" in native.why_not("bf16", "cpu")


def test_a_processor_without_avx512_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "has_instructions", lambda: False)
    monkeypatch.setattr(native, "has_bf16", lambda: False)
    assert native.why_not("fp32", "cpu") == native.why_not("bf16", "cpu") == "this processor has no AVX512"


def test_an_environment_in_which_they_are_not_compiled_says_how_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(native, "has_instructions", lambda: True)
    monkeypatch.setattr(native, "has_bf16", lambda: True)
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
