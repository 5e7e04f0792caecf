"""vLLM as an engine: for GPUs, where it is installed; requests and adapters come to it as to our own.

What comes in: requests, at any moment, and folders of adapters. What goes out: the parts of their answers. Batching, caches and
queues are vLLM's. It has no beam search in its stream and takes plain LoRA adapters alone, so what it cannot do is refused by name.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from mixwright.errors import ModelError
from mixwright.generate.engine import Request
from mixwright.generate.likelihoods import Likelihood
from mixwright.generate.loading import is_whole_model
from mixwright.generate.loop import FullError, Part
from mixwright.records import BASE
from mixwright.store.vllm import vllm_fit


class VllmParts:
    """One request on its way; see `loop.Parts`."""

    def __init__(self, request: Request, outputs: Callable[[], Any], end_ids: AbstractSet[int]) -> None:
        self.request, self.begun, self.ended = request, False, False
        self._outputs, self._end_ids = outputs, end_ids
        self._iterator: AsyncIterator[Part] | None = None

    @property
    def needed(self) -> int:
        """Tokens of prompt and answer to be."""
        return len(self.request.prompt_ids) + self.request.max_new_tokens

    def close(self) -> None:
        """Nothing more is asked of it; vLLM gives the request up when its generator is closed, which the reader does."""
        self.ended = True

    async def __aiter__(self) -> AsyncIterator[Part]:
        try:
            async with aclosing(self._outputs()) as outputs:  # vLLM aborts a request whose generator is closed
                async for output in outputs:
                    self.begun = True
                    ids = tuple(token for token in output.outputs[0].token_ids if token not in self._end_ids)
                    yield Part(token_ids=ids, done=output.finished)
        finally:
            self.ended = True


class VllmEngine:
    """vLLM's engine with the adapters that it holds."""

    def __init__(
        self,
        engine: Any,
        end_ids: AbstractSet[int],
        *,
        max_waiting_tokens: int | None = None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Wraps an `AsyncLLM`; `load` makes one.

        Args:
            max_waiting_tokens: where so many wait, prompts and answers to be, no more are taken in; None: all are.
            on_death: called when a process of vLLM's is found gone, after which no request can be answered any more.
        """
        self.engine, self._end_ids, self._most, self._on_death = engine, end_ids, max_waiting_tokens, on_death
        self._adapters: dict[str, Any] = {}
        self._numbers = 0
        self._working: list[VllmParts] = []

    @classmethod
    def load(
        cls,
        model: str,
        end_ids: AbstractSet[int],
        *,
        max_waiting_tokens: int | None = None,
        on_death: Callable[[], None] = lambda: None,
        **arguments: Any,
    ) -> VllmEngine:
        """Starts vLLM with a model's folder or hub id; minutes.

        Args:
            arguments: further ones of vLLM's `AsyncEngineArgs`.

        Raises:
            ModelError: vLLM is not installed, or does not take the model.
        """
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise ModelError(f"serve.engine vllm: it cannot be imported ({error}); pip install 'mixwright[vllm]'") from None
        try:
            engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, enable_lora=True, **arguments))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"serve.engine vllm: does not start with {model}: {error}") from error
        return cls(engine, end_ids, max_waiting_tokens=max_waiting_tokens, on_death=on_death)

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self.engine.model_config.max_model_len)

    @property
    def working(self) -> int:
        """Requests that are waiting or in work."""
        self._working = [parts for parts in self._working if not parts.ended]
        return len(self._working)

    def submit(self, requests: Sequence[Request], *, piecewise: bool = False) -> list[VllmParts]:
        """A stream a request, in their order; see `loop.EngineLoop.submit`.

        Raises:
            FullError: too many tokens wait already.
            ModelError: an adapter that is not held, or beam search.
        """
        found = [self._parts(request, piecewise) for request in requests]
        if self._most is not None and self.working:
            waiting = sum(parts.needed for parts in self._working if not parts.begun)
            if waiting >= self._most:
                raise FullError(f"{waiting} tokens wait already, {self._most} may")
        self._working += found
        return found

    async def hold(self, name: str, folder: Path) -> None:
        """Loads a LoRA adapter.

        Raises:
            ModelError: vLLM does not take it.
        """
        if is_whole_model(folder):
            raise ModelError(f"{folder}: is a model of its own; serve.engine vllm serves LoRA adapters, choose mixwright for it")
        fit = vllm_fit(folder)
        if fit.problems:
            raise ModelError(f"{folder}: vLLM would not serve it: {'; '.join(fit.problems)}; choose serve.engine mixwright for it")
        if (fit.max_lora_rank or 0) > (most := self.engine.vllm_config.lora_config.max_lora_rank):
            wanted = f"set serve.vllm: {{max_lora_rank: {fit.max_lora_rank}}} and start the endpoint again"
            raise ModelError(f"{folder}: vLLM was started for ranks up to {most}, and its own is larger; {wanted}")
        from vllm.lora.request import LoRARequest

        self._numbers += 1
        adapter = LoRARequest(lora_name=name, lora_int_id=self._numbers, lora_path=str(folder))
        with self._death_told():
            try:
                await self.engine.add_lora(adapter)
            except self._dead_error:
                raise
            except Exception as error:  # vLLM's processes tell what failed in words alone
                raise ModelError(f"{folder}: vLLM does not load it: {error}") from error
        self._adapters[name] = adapter

    async def release(self, name: str) -> None:
        """Lets go of an adapter."""
        with self._death_told():
            await self.engine.remove_lora(self._adapters.pop(name).lora_int_id)

    async def likelihoods(self, prompts: Sequence[tuple[int, ...]], adapter: str, top: int) -> list[Likelihood]:
        """How likely prompts are; see `likelihoods.likelihoods`."""
        return list(await asyncio.gather(*(self._likelihood(prompt, adapter, top) for prompt in prompts)))

    async def check_health(self) -> None:
        """Raises what ails vLLM, if anything does."""
        with self._death_told():
            await self.engine.check_health()

    def close(self) -> None:
        self.engine.shutdown()

    def _parts(self, request: Request, piecewise: bool) -> VllmParts:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if request.decoding.num_beams > 1:
            raise ModelError("decoding: serve.engine vllm has no beam search; choose serve.engine mixwright, or num_beams 1")
        decoding = request.decoding
        params = SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            repetition_penalty=decoding.repetition_penalty,
            seed=decoding.seed if decoding.temperature > 0 else None,
            max_tokens=max(1, request.max_new_tokens),
            stop_token_ids=sorted(self._end_ids),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA if piecewise else RequestOutputKind.FINAL_ONLY,
        )
        lora = self._lora(request.adapter)
        return VllmParts(request, lambda: self._generate(request.prompt_ids, params, lora), self._end_ids)

    async def _likelihood(self, prompt: tuple[int, ...], adapter: str, top: int) -> Likelihood:
        from vllm import SamplingParams

        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=top, logprobs=top, detokenize=False)
        last: Any = None
        async with aclosing(self._generate(prompt, params, self._lora(adapter))) as outputs:
            async for output in outputs:
                last = output
        told = last.prompt_logprobs[1:]
        places = [*told, last.outputs[0].logprobs[0]]
        return Likelihood(
            logprobs=tuple(float(found[token].logprob) for token, found in zip(prompt[1:], told, strict=True)),
            top=tuple(_best(found, top) for found in places),
        )

    async def _generate(self, prompt_ids: Sequence[int], params: Any, lora: Any) -> AsyncGenerator[Any, None]:
        prompt = {"prompt_token_ids": list(prompt_ids)}
        with self._death_told():
            async with aclosing(self.engine.generate(prompt, params, uuid.uuid4().hex, lora_request=lora)) as outputs:
                async for output in outputs:
                    yield output

    @property
    def _dead_error(self) -> type[Exception]:
        from vllm.v1.engine.exceptions import EngineDeadError

        found: type[Exception] = EngineDeadError
        return found

    @contextmanager
    def _death_told(self) -> Iterator[None]:
        try:
            yield
        except self._dead_error:
            self._on_death()
            raise

    def _lora(self, adapter: str) -> Any:
        if adapter == BASE:
            return None
        if adapter not in self._adapters:
            raise ModelError(f"no adapter '{adapter}'; there are {', '.join((BASE, *self._adapters))}")
        return self._adapters[adapter]


def _best(found: Any, top: int) -> tuple[tuple[int, float], ...]:
    """The likeliest tokens of a place; vLLM tells the prompt's own beside them."""
    ranked = sorted(((token, float(told.logprob)) for token, told in found.items()), key=lambda item: -item[1])
    return tuple(ranked[:top])
