"""Decoding by continuous batching with our own pass: what `transformers_engine` answers, several times as fast.

What comes in: a causal LM (plain, or a PEFT model, live in training or not) and requests. What goes out: their texts; greedy ones
are token for token transformers', up to near-ties of the model's precision. What the pass cannot take goes to `TransformersEngine`,
the reference, and the log says why: other architectures, quantised or sharded weights, DoRA, beams, fully tuned models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.errors import ModelError
from mixwright.generate.adapters import check_held, clear_failed, drop_adapter
from mixwright.generate.batch import Batch, Limits
from mixwright.generate.decoding import Row
from mixwright.generate.engine import Generated, Request
from mixwright.generate.llama import DecodingLlama
from mixwright.generate.loading import is_whole_model, load_whole_model
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.llama import Unfit
from mixwright.models import with_saved_adapter
from mixwright.records import BASE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What a step gave one of the requests."""

    index: int
    """Among the requests."""
    token_ids: tuple[int, ...]
    """New since the last time; the end token is left out."""
    done: bool


@dataclass(frozen=True, kw_only=True)
class _Fitness:
    """Of an adapter from a folder, which stays as it is."""

    reason: str | None


class ContinuousEngine:
    """Answers requests with one base model, its adapters, and fully tuned models beside it."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        limits: Limits | None = None,
        prepack: bool = False,
        own_pass: bool = True,
        tuned: Mapping[str, Any] | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> None:
        """Holds the models. The base's weights must not change while it lives; adapters may, between calls.

        Args:
            model: a causal LM or a PEFT model around one; what is active in it, and its mode, stay as they are.
            limits: how much is in work at a time.
            prepack: keep copies of the base's matrices in the layout of the processor's products, as large as the base.
            own_pass: False leaves everything to transformers.
            tuned: fully tuned models by the name that requests ask for them under.
            on_batch: told as requests are answered how many are, and of how many.
        """
        self.limits = limits or Limits()
        self.reference = TransformersEngine(model, tokenizer, batch_size=max(1, self.limits.rows // 2), tuned=tuned)
        self.model, self.tokenizer, self.tuned = model, tokenizer, self.reference.tuned
        self._on_batch = on_batch
        self._llama = DecodingLlama.of(model, prepack=prepack) if own_pass else Unfit(reason="as configured")
        self._told: set[str] = set()
        self._held: dict[str, _Fitness] = {}
        self.batch: Batch | None = None
        if isinstance(self._llama, Unfit):
            self._tell(self._llama.reason)
            self.reference.batch_size = self.limits.rows
        else:
            self.batch = Batch(self._llama, self.reference.end_ids(model), self.limits)

    @property
    def says(self) -> str:
        """Which pass it decodes with, in words."""
        if isinstance(self._llama, Unfit):
            return f"decoding with transformers: {self._llama.reason}"
        return f"decoding by continuous batching, {self.limits.rows} rows at once"

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The answers, in the order of `requests`.

        Raises:
            ModelError: an adapter that is neither in the model nor among the tuned ones.
        """
        return [answer.text for answer in self.answer(requests)]

    def answer(self, requests: Sequence[Request]) -> list[Generated]:
        """As `generate`, with the number of tokens of each answer and whether it had come to its end."""
        outputs: list[list[int]] = [[] for _ in requests]
        ours = self._ours(requests)
        done = 0
        for fresh in self._stream(requests, [index for index in range(len(requests)) if ours[index]]):
            outputs[fresh.index] += fresh.token_ids
            done += fresh.done
            if fresh.done and self._on_batch:
                self._on_batch(done, len(requests))
        theirs = [index for index in range(len(requests)) if not ours[index]]
        answered = dict(zip(theirs, self.reference.answer([requests[index] for index in theirs]), strict=True))
        if theirs and self._on_batch:
            self._on_batch(len(requests), len(requests))
        return [
            answered[index] if index in answered else self._generated(request, outputs[index])
            for index, request in enumerate(requests)
        ]

    def stream(self, requests: Sequence[Request]) -> Iterator[Fresh]:
        """Tokens as they come, a step's after the other's; closing the iterator cancels what is left.

        Requests that go to transformers come whole, after the others, as token ids of their text.

        Raises:
            ModelError: as `generate`.
        """
        ours = self._ours(requests)
        yield from self._stream(requests, [index for index in range(len(requests)) if ours[index]])
        for index, request in enumerate(requests):
            if not ours[index]:
                text = self.reference.generate([request])[0]
                ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
                yield Fresh(index=index, token_ids=tuple(ids), done=True)

    def unfit(self, request: Request) -> str | None:
        """Why a request goes to transformers; None where our pass takes it."""
        if isinstance(self._llama, Unfit):
            return self._llama.reason
        if request.adapter in self.tuned:
            return f"'{request.adapter}' is a model of its own"
        if request.decoding.num_beams > 1:
            return "beam search"
        known = self._held.get(request.adapter)
        return self._llama.unfit_adapter(request.adapter) if known is None else known.reason

    def hold(self, name: str, folder: Path) -> None:
        """One more adapter, from a complete folder. Another thread may step meanwhile, but not go through the modules.

        Raises:
            ModelError: the folder holds no adapter in safetensors, or one that does not fit.
        """
        if is_whole_model(folder):
            self.tuned[name] = load_whole_model(folder, self.model)
            return
        try:
            self.model = self.reference.model = with_saved_adapter(self.model, folder, name=name)
        except ModelError:
            clear_failed(self.model, name)
            raise
        if isinstance(self._llama, DecodingLlama):
            fitness = self._held[name] = _Fitness(reason=self._llama.unfit_adapter(name))
            if fitness.reason is None:
                self._llama.read_adapter(name)

    def release(self, name: str) -> None:
        """Lets go of an adapter and its memory; no row of it may be in work. As `hold` otherwise."""
        if self.tuned.pop(name, None) is not None:
            return
        drop_adapter(self.model, name)
        self._held.pop(name, None)
        if isinstance(self._llama, DecodingLlama):
            self._llama.forget_adapter(name)

    def start_over(self) -> None:
        """Drops all rows and what the cache holds, after a pass that failed."""
        if isinstance(self._llama, DecodingLlama):
            self.batch = Batch(self._llama, self.reference.end_ids(self.model), self.limits)

    def read_adapters(self, names: Iterable[str]) -> None:
        """For those who drive `batch` themselves: its rows may be of these adapters, with the weights that they have now."""
        if isinstance(self._llama, DecodingLlama) and self.batch is not None:
            self._llama.read_adapters(sorted(set(names) - {BASE}))
            self.batch.forget()  # an adapter may have learned since

    def _stream(self, requests: Sequence[Request], indices: Sequence[int]) -> Iterator[Fresh]:
        """Of those requests that our pass takes."""
        if not indices:
            return
        assert self.batch is not None
        self.read_adapters({requests[index].adapter for index in indices})
        # Rows that begin alike enter together, and so share most of what is computed.
        order = sorted(indices, key=lambda index: (requests[index].adapter, requests[index].prompt_ids), reverse=True)
        index_of = {self.batch.submit(row_of(requests[index])): index for index in order}
        told = dict.fromkeys(index_of, 0)
        for ticket in list(index_of):
            if ticket.done:
                yield Fresh(index=index_of.pop(ticket), token_ids=(), done=True)
        try:
            while index_of:
                for ticket in self.batch.step():
                    if ticket not in index_of:
                        continue  # left over from an iterator that was closed
                    fresh = tuple(ticket.output[told[ticket] :])
                    told[ticket] += len(fresh)
                    yield Fresh(index=index_of[ticket], token_ids=fresh, done=ticket.done)
                    if ticket.done:
                        del index_of[ticket]
        finally:
            for ticket in index_of:
                self.batch.cancel(ticket)

    def _ours(self, requests: Sequence[Request]) -> list[bool]:
        """Whether our pass takes each request."""
        check_held(self.model, {request.adapter for request in requests} - self.tuned.keys())
        unfit: dict[tuple[str, bool], str | None] = {}
        for request in requests:
            key = request.adapter, request.decoding.num_beams > 1
            if key not in unfit:
                unfit[key] = self.unfit(request)
                if reason := unfit[key]:
                    self._tell(reason)
        return [not unfit[request.adapter, request.decoding.num_beams > 1] for request in requests]

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            logger.info("decoding with transformers' own pass: %s", reason)

    def _generated(self, request: Request, output: Sequence[int]) -> Generated:
        return Generated(text=self.reference.text(output), tokens=len(output), ended=len(output) < request.max_new_tokens)


def row_of(request: Request) -> Row:
    """The request as a batch takes it."""
    return Row(
        prompt_ids=request.prompt_ids, adapter=request.adapter, max_new_tokens=request.max_new_tokens, decoding=request.decoding
    )
