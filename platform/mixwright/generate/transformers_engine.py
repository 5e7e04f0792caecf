"""Decoding in batches with transformers, several adapters in one batch.

What comes in: a causal LM (plain, or a PEFT model, live in training or not) and requests. What goes out: their texts, the
same as if each had been asked alone. Three savings, none of which changes an answer: prompts are sorted by length so that
little is padded, the opening that all prompts share (a chat template's system turn) is read once an adapter, and rows
that have ended leave the batch. Beam search is transformers' own and has the first of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from mixwright.generate import beams
from mixwright.generate.adapters import active, evaluating, needs_own_pass
from mixwright.generate.decoding import Row, decode, read_prefix
from mixwright.generate.engine import Generated, Request
from mixwright.records import BASE


class TransformersEngine:
    """Answers requests with one base model, its adapters, and fully tuned models beside it."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_size: int = 16,
        tuned: Mapping[str, Any] | None = None,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> None:
        """Holds the models; loads and changes nothing.

        Args:
            model: a causal LM or a PEFT model around one; what is active in it, and its mode, are as before after a call.
            batch_size: rows decoded together; with beams, hypotheses.
            tuned: fully tuned models by the name that requests ask for them under.
            on_batch: told after each batch how many requests are answered, and of how many.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.tuned = dict(tuned or {})
        self._on_batch = on_batch

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The answers, in the order of `requests`.

        Raises:
            ModelError: an adapter that is neither in the model nor among the tuned ones.
        """
        return [answer.text for answer in self.answer(requests)]

    def answer(self, requests: Sequence[Request]) -> list[Generated]:
        """As `generate`, with the number of tokens of each answer and whether it had come to its end."""
        answers: dict[int, Generated] = {}
        for model, indices in self._groups(requests):
            adapter = requests[indices[0]].adapter
            with evaluating(model), active(model, adapter) if needs_own_pass(model, adapter) else nullcontext():
                for start, outputs in self._outputs(model, [self._row(requests[index]) for index in indices]):
                    for index, output in zip(indices[start:], outputs, strict=False):
                        ended = len(output) < requests[index].max_new_tokens
                        answers[index] = Generated(text=self.text(output), tokens=len(output), ended=ended)
                    if self._on_batch:
                        self._on_batch(len(answers), len(requests))
        return [answers[index] for index in range(len(requests))]

    def _outputs(self, model: Any, rows: Sequence[Row]) -> Iterator[tuple[int, list[list[int]]]]:
        """New tokens, a batch at a time, each with the place of its first row."""
        num_beams = rows[0].decoding.num_beams
        ids: Any = {"pad_id": self.tokenizer.pad_token_id, "end_ids": self.end_ids(model)}
        size = max(1, self.batch_size // num_beams)
        prefix = read_prefix(model, rows) if num_beams == 1 else None
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            yield start, decode(model, batch, prefix, **ids) if prefix else beams.search(model, batch, **ids)

    def _row(self, request: Request) -> Row:
        adapter = BASE if request.adapter in self.tuned else request.adapter
        return Row(prompt_ids=request.prompt_ids, adapter=adapter, max_new_tokens=request.max_new_tokens, decoding=request.decoding)

    def _groups(self, requests: Sequence[Request]) -> list[tuple[Any, list[int]]]:
        """Request indices by model, longest prompt first: memory runs out at once or never.

        Rows of beam search stand apart, by decoding and limit, which are the same for all rows of a search; and so do rows of an
        adapter that needs a pass of its own.
        """
        order = sorted(range(len(requests)), key=lambda index: -len(requests[index].prompt_ids))
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index in order:
            request = requests[index]
            searched = (request.decoding, request.max_new_tokens) if request.decoding.num_beams > 1 else ()
            apart = request.adapter in self.tuned or needs_own_pass(self.model, request.adapter)
            groups.setdefault((request.adapter if apart else "", *searched), []).append(index)
        return [(self.tuned.get(key[0], self.model), indices) for key, indices in groups.items()]

    def end_ids(self, model: Any) -> frozenset[int]:
        """Training ends a response with the tokenizer's end token; a model may bring more of its own."""
        own = model.generation_config.eos_token_id
        listed = own if isinstance(own, list) else [own]
        return frozenset(token for token in (self.tokenizer.eos_token_id, *listed) if token is not None)

    def text(self, token_ids: Sequence[int]) -> str:
        """The answer that these tokens are."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
