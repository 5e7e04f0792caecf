"""The part of vLLM that our engine uses, over transformers: for tests where vLLM cannot be installed.

Names, arguments and behaviour follow vLLM's own (`AsyncLLM.generate`, `add_lora`, `SamplingParams`, ...): pieces or the whole
answer by `output_kind`, the end token among an answer's tokens, log-probabilities by token id, a request aborted when its generator
is closed.
"""

from __future__ import annotations

import asyncio
import enum
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from mixwright.config import ModelConfig
from mixwright.generate.adapters import forward
from mixwright.models import load_base, with_saved_adapter


class EngineDeadError(Exception):
    """Of an engine whose processes are gone."""

    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue")


class RequestOutputKind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass(kw_only=True)
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    stop_token_ids: list[int] = field(default_factory=list)
    detokenize: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    prompt_logprobs: int | None = None
    logprobs: int | None = None


@dataclass(kw_only=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class AsyncEngineArgs:
    model: str
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    max_num_seqs: int = 256
    dtype: str = "auto"
    revision: str | None = None
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    token_ids: list[int]
    finish_reason: str | None
    logprobs: list[dict[int, Logprob]] | None = None


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]
    finished: bool
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None


class AsyncLLM:
    """One request a step each, in the event loop."""

    def __init__(self, args: AsyncEngineArgs) -> None:
        self.args = args
        self._base = load_base(ModelConfig(name=args.model), torch.float32)
        self._model: Any = self._base.model
        self.model_config = types.SimpleNamespace(max_model_len=self._base.model.config.max_position_embeddings)
        self.vllm_config = types.SimpleNamespace(lora_config=types.SimpleNamespace(max_lora_rank=args.max_lora_rank))
        self._names: dict[int, str] = {}
        self.aborted: list[str] = []
        self.running: set[str] = set()
        self.is_shut_down = False

    @classmethod
    def from_engine_args(cls, args: AsyncEngineArgs) -> AsyncLLM:
        return cls(args)

    async def add_lora(self, request: LoRARequest) -> bool:
        if len(self._names) >= self.args.max_loras:
            raise Exception("no room for another LoRA")  # as plain as vLLM's own
        self._model = with_saved_adapter(self._model, Path(request.lora_path), name=request.lora_name)
        self._names[request.lora_int_id] = request.lora_name
        return True

    async def remove_lora(self, number: int) -> bool:
        self._model.delete_adapter(self._names.pop(number))
        return True

    async def check_health(self) -> None:
        if self.is_shut_down:
            raise EngineDeadError

    def shutdown(self) -> None:
        self.is_shut_down = True

    async def generate(self, prompt: dict[str, list[int]], params: SamplingParams, request_id: str, *, lora_request: Any = None):
        await self.check_health()
        ids = list(prompt["prompt_token_ids"])
        adapter = "base" if lora_request is None else self._names[lora_request.lora_int_id]
        count, new = len(ids), []
        asked = None if params.prompt_logprobs is None else self._told(self._rows(ids, adapter), ids, params.prompt_logprobs)
        self.running.add(request_id)
        try:
            while True:
                await asyncio.sleep(0.001)
                await self.check_health()
                row = self._rows(ids, adapter)[-1:]
                ids.append(int(row.argmax()))
                new.append(ids[-1])
                reason = "stop" if ids[-1] in params.stop_token_ids else "length" if len(ids) - count >= params.max_tokens else None
                told = [] if params.logprobs is None else self._told(row, [0, ids[-1]], params.logprobs)[1:]
                if reason or params.output_kind is RequestOutputKind.DELTA:
                    yield RequestOutput([CompletionOutput(new, reason, told)], reason is not None, asked)
                    new = []
                if reason:
                    return
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(request_id)
            raise
        finally:
            self.running.discard(request_id)

    @torch.no_grad()
    def _rows(self, ids: list[int], adapter: str) -> torch.Tensor:
        logits = forward(self._model, [adapter], input_ids=torch.tensor([ids])).logits
        return logits[0].log_softmax(-1)

    def _told(self, rows: torch.Tensor, ids: list[int], top: int) -> list[dict[int, Logprob] | None]:
        """Of each token after the first, its own and the likeliest ones' log-probabilities, as its place had them."""
        told: list[dict[int, Logprob] | None] = [None]
        for row, token in zip(rows, ids[1:], strict=False):
            best = row.topk(top).indices.tolist() if top else []
            told.append({index: Logprob(float(row[index])) for index in (token, *best)})
        return told


def kill(engine: Any) -> None:
    """Ends the processes of an engine, of vLLM's own too."""
    if isinstance(engine, AsyncLLM):
        engine.shutdown()
        return
    for process in psutil.Process().children():
        if process.name().startswith("VLLM::"):
            process.kill()


def installed(monkeypatch: Any) -> None:
    """Puts the fake where vLLM would be, until the test ends."""
    here = sys.modules[__name__]
    for name in ("vllm", "vllm.engine", "vllm.v1", "vllm.v1.engine", "vllm.lora"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["vllm"].SamplingParams = SamplingParams  # type: ignore[attr-defined]
    modules = ("vllm.engine.arg_utils", "vllm.v1.engine.async_llm", "vllm.v1.engine.exceptions")
    for name in (*modules, "vllm.lora.request", "vllm.sampling_params"):
        monkeypatch.setitem(sys.modules, name, here)
