"""The replica's inside, without Ray: questions in plain text become requests, and rows become their NLL.

What comes in: instruction, text and adapter. What goes out: answers. Rendering happens here and not at the client, so that
whoever asks over HTTP sees the model through the very prompts that it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import ModelError
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.engine import Engine, Request
from mixwright.generate.likelihoods import Likelihood
from mixwright.prompts import Rendered, chat_ids, prompt_ids, render
from serve.schema import MAX_NEW_TOKENS, NllRow


@dataclass(frozen=True, kw_only=True)
class Question:
    """One text to work on."""

    instruction: str
    text: str
    adapter: str
    max_new_tokens: int
    decoding: Decoding = GREEDY


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What OpenAI's routes ask to be continued."""

    content: tuple[Mapping[str, str], ...] | str | tuple[int, ...]
    """The turns of a chat, a text as it stands, or token ids."""
    adapter: str
    max_new_tokens: int | None
    """None: as many as the context has room for, and no more than any request may ask for."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    decoding: Decoding = GREEDY


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A prompt's continuation."""

    text: str
    finish_reason: Literal["stop", "length"]
    """length: `max_new_tokens` cut it."""
    prompt_tokens: int
    completion_tokens: int
    """As decoded, with what a stop text cut off again."""


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """A prompt's tokens and how likely the model finds them."""

    tokens: tuple[str, ...]
    """Those of the prompt, and after them the likeliest next one."""
    logprobs: tuple[float | None, ...]
    """As many; None for the first, which nothing comes before."""
    top: tuple[Mapping[str, float] | None, ...]
    """The likeliest tokens of each position; None for the first."""


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """An engine with the tokenizer of its prompts."""

    engine: Engine | None
    """None: it is not asked through here."""
    tokenizer: Any
    context_length: int
    """Tokens that prompt and answer may have together."""
    score: Callable[[Sequence[Rendered], str], ResponseLoss]
    """The NLL of rendered rows through an adapter."""
    likelihoods: Callable[[Sequence[tuple[int, ...]], str, int], list[Likelihood]] | None = None
    """Log-probabilities of prompts' tokens through an adapter, with so many of the likeliest ones; None: the engine has none."""

    def request(self, question: Question) -> Request:
        """The question as the engine takes it.

        Raises:
            ModelError: prompt and answer do not fit into the model's context.
        """
        ids = prompt_ids(self.tokenizer, question.instruction, question.text)
        self._check_length(len(ids) + question.max_new_tokens)
        return Request(prompt_ids=ids, adapter=question.adapter, max_new_tokens=question.max_new_tokens, decoding=question.decoding)

    def continuation(self, prompt: Prompt) -> Request:
        """The prompt as the engine takes it.

        Raises:
            ModelError: it does not fit into the model's context, or cannot be rendered.
        """
        ids = self._ids(prompt.content)
        room = self.context_length - len(ids)
        new = min(MAX_NEW_TOKENS, max(1, room)) if prompt.max_new_tokens is None else prompt.max_new_tokens
        self._check_length(len(ids) + new)
        return Request(prompt_ids=ids, adapter=prompt.adapter, max_new_tokens=new, decoding=prompt.decoding)

    def _ids(self, content: tuple[Mapping[str, str], ...] | str | tuple[int, ...]) -> tuple[int, ...]:
        if isinstance(content, str):
            ids = tuple(self.tokenizer(content)["input_ids"])
        elif isinstance(content[0], int):
            ids = tuple(token for token in content if isinstance(token, int))
        else:
            return chat_ids(self.tokenizer, [turn for turn in content if not isinstance(turn, int)])
        if not ids:
            raise ModelError("prompt: holds no token to go on from; send at least one character")
        if not 0 <= min(ids) <= max(ids) < len(self.tokenizer):
            raise ModelError(f"prompt: token ids must be from 0 to {len(self.tokenizer) - 1}, got {min(ids)} to {max(ids)}")
        return ids

    def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        """How likely the model finds the prompts, which are of one adapter.

        Raises:
            ModelError: as `continuation`, or the engine has no likelihoods.
        """
        if self.likelihoods is None:
            raise ModelError("logprobs: this engine does not tell them; leave logprobs and echo out")
        ids = [self.continuation(prompt).prompt_ids for prompt in prompts]
        return self.scored(ids, self.likelihoods(ids, prompts[0].adapter, top))

    def scored(self, ids: Sequence[tuple[int, ...]], found: Sequence[Likelihood]) -> list[TokenScores]:
        """What the model told of prompts, in their tokens' text."""
        return [self._token_scores(*parts) for parts in zip(ids, found, strict=True)]

    def _token_scores(self, ids: tuple[int, ...], likelihood: Likelihood) -> TokenScores:
        next_id, next_logprob = likelihood.top[-1][0]
        return TokenScores(
            tokens=tuple(self._token(token) for token in (*ids, next_id)),
            logprobs=(None, *likelihood.logprobs, next_logprob),
            top=(None, *({self._token(token): value for token, value in reversed(best)} for best in likelihood.top)),
        )

    def _token(self, token_id: int) -> str:
        return str(self.tokenizer.decode([token_id], clean_up_tokenization_spaces=False))

    def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        """The mean NLL of the rows' responses.

        Raises:
            ModelError: a row does not fit into the model's context.
        """
        return self.score(self.rendered(rows), adapter)

    def rendered(self, rows: Sequence[NllRow]) -> list[Rendered]:
        """Rows as training renders them.

        Raises:
            ModelError: as `nll`.
        """
        rendered = [render(self.tokenizer, row.instruction, row.text, row.response) for row in rows]
        for row in rendered:
            self._check_length(len(row.token_ids))
        return rendered

    def text(self, token_ids: Sequence[int]) -> str:
        """The answer that these tokens are."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _check_length(self, tokens: int) -> None:
        if tokens > self.context_length:
            raise ModelError(
                f"a text needs {tokens} tokens with its answer, the model holds {self.context_length}; send a shorter one"
            )
