"""Continuous batching: rows enter as others end, and every pass is full of tokens that matter.

What comes in: rows, at any time, for any adapters. What goes out: their tokens, as they come. A step is one pass: either the
prompts of rows that enter, without what a slot of the cache or a neighbour already holds, or for every row in work its last token
and a draft of what may follow. The model's own choice decides what of a draft is kept, so a row gets the tokens that it would get
alone.

`submit` and `cancel` may be called from any thread; `step` from one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import torch

from mixwright.generate.cache import RowCache
from mixwright.generate.choosing import Answer, begin, next_tokens
from mixwright.generate.decoding import Row, goes_on
from mixwright.generate.drafts import PromptLookup, share_out
from mixwright.generate.llama import DecodingLlama
from mixwright.generate.passes import Span, lay_out

SLOT_STEP = 64
"""Tokens that a slot's length is a multiple of, so that like requests find the cache as it is."""
MOST_DRAFT = 8
FREE_TOKENS, WORTHWHILE = 32, 0.6
"""A pass of so many tokens takes hardly longer than one of fewer; beyond that a draft token is worth its work at such a chance."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is in work at a time."""

    rows: int = 64
    cache_tokens: int = 16_384
    """Tokens, prompt and answer to be, of all rows in work; a longer row works alone."""
    prefill_tokens: int = 768
    """Of prompts in one pass; a longer prompt goes alone."""
    slot_tokens: int = 0
    """Each row of the cache is at least so long: a row that is longer than all slots waits until nobody is in work."""
    drafts: bool = True


@dataclass(kw_only=True, eq=False)
class Ticket:
    """A row on its way."""

    row: Row
    answer: Answer
    done: bool = False
    cancelled: bool = False

    @property
    def output(self) -> list[int]:
        """New tokens so far, the end token left out; grows."""
        return self.answer.output

    @property
    def needed(self) -> int:
        return len(self.row.prompt_ids) + self.row.max_new_tokens


@dataclass(kw_only=True)
class Counts:
    """What the work was, for those who tune it."""

    passes: int = 0
    prompt_tokens: int = 0
    """Of rows that entered."""
    computed_prompt_tokens: int = 0
    decoding_passes: int = 0
    decoded_rows: int = 0
    """Rows of decoding passes, one pass after the other."""
    drafted: int = 0
    accepted: int = 0


@dataclass(kw_only=True, eq=False)
class _Live:
    ticket: Ticket
    lookup: PromptLookup
    cached: int
    """Tokens whose keys stand in the cache; the last token taken is not among them."""


@dataclass(kw_only=True)
class _Entry:
    """A row about to enter."""

    ticket: Ticket
    source: int
    held: int
    """Leading tokens that slot `source` holds."""
    path: list[int] = field(default_factory=list)
    """Of each position from `held` on, the token of the pass that computes it."""


class Batch:
    """Rows of one model."""

    def __init__(self, llama: DecodingLlama, end_ids: AbstractSet[int], limits: Limits | None = None) -> None:
        self._llama, self._end_ids = llama, end_ids
        self.limits = limits or Limits()
        self.counts = Counts()
        self._waiting: deque[Ticket] = deque()
        self._live: list[_Live] = []
        self._cache: RowCache | None = None

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._live

    @property
    def rows(self) -> int:
        """Rows in work."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """Rows that have not entered yet."""
        return len(self._waiting)

    @property
    def waiting_tokens(self) -> int:
        """Prompts and answers to be of these."""
        return sum(ticket.needed for ticket in list(self._waiting) if not ticket.cancelled)

    def submit(self, row: Row) -> Ticket:
        """Puts a row into the queue; its adapter must have been read."""
        ticket = Ticket(row=row, answer=begin(row.decoding, row.prompt_ids), done=row.max_new_tokens < 1)
        if not ticket.done:
            self._waiting.append(ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Its row leaves before the next step; what it has said stays."""
        ticket.cancelled = True

    def forget(self, adapter: str | None = None) -> None:
        """Nothing in the cache is shared any more, since adapters have changed, or nothing of this one; there must be no row of
        theirs in work."""
        if self._cache is not None:
            self._cache.forget(adapter)

    @torch.no_grad()
    def step(self) -> list[Ticket]:
        """One pass; the rows that it gave tokens to, or ended, cancelled ones among them."""
        left = self._drop_cancelled()
        entries = self._entries()
        if entries:
            return left + self._enter(entries)
        return left + self._decode() if self._live else left

    def _drop_cancelled(self) -> list[Ticket]:
        left = [ticket for ticket in list(self._waiting) if ticket.cancelled]  # a copy, for others may submit meanwhile
        for ticket in left:
            self._waiting.remove(ticket)
        gone = [slot for slot, live in enumerate(self._live) if live.ticket.cancelled]
        left += [self._live[slot].ticket for slot in gone]
        self._leave(gone)
        for ticket in left:
            ticket.done = True
        return left

    def _leave(self, slots: Sequence[int]) -> None:
        """Rows of these slots, ascending, make room; the last rows take their places."""
        for slot in reversed(slots):
            last = self._live.pop()
            if slot < len(self._live):
                assert self._cache is not None
                self._cache.move(len(self._live), slot, last.cached)
                self._live[slot] = last

    def _entries(self) -> list[_Entry]:
        """Rows that enter now: when enough can together, and no more than memory and one pass have room for."""
        if not self._waiting or not self._fits_cache(self._waiting[0]):
            return []
        free = self.limits.rows - len(self._live)
        if self._live and free < min(len(self._waiting), max(1, self.limits.rows // 4)):
            return []
        assert self._cache is not None
        promised = sum(live.ticket.needed for live in self._live)
        entries: list[_Entry] = []
        computed = 0
        while self._waiting and len(entries) < free:
            ticket = self._waiting[0]
            ids = ticket.row.prompt_ids
            source, held = self._cache.longest_shared(ticket.row.adapter, ids)
            held = min(held, len(ids) - 1)
            before = entries[-1].ticket.row if entries else None
            shared = _alike(before.prompt_ids, ids) if before and before.adapter == ticket.row.adapter else 0
            promised += ticket.needed
            computed += len(ids) - max(held, shared)
            full = promised > self.limits.cache_tokens or computed > self.limits.prefill_tokens
            if (full and (entries or (self._live and promised > self.limits.cache_tokens))) or ticket.needed > self._cache.length:
                break
            entries.append(_Entry(ticket=self._waiting.popleft(), source=source, held=held))
        return sorted(entries, key=lambda entry: (entry.ticket.row.adapter, entry.ticket.row.prompt_ids))

    def _fits_cache(self, ticket: Ticket) -> bool:
        """Whether the slots are long enough; where nobody is in work they are made so."""
        if self._cache is not None and self._cache.length >= ticket.needed:
            return True
        if self._live:
            return False
        longest = max(self.limits.slot_tokens, *(waiting.needed for waiting in list(self._waiting)))
        length = -(-longest // SLOT_STEP) * SLOT_STEP
        self._cache = None  # the old one goes before the new one comes
        self._cache = self._llama.new_cache(slots=self.limits.rows, length=length)
        return True

    def _enter(self, entries: Sequence[_Entry]) -> list[Ticket]:
        """The prompts' pass: what rows share is computed once, and each row's last token gives its first new one."""
        assert self._cache is not None
        begun: list[tuple[int, tuple[int, ...]]] = []
        total = 0
        before: _Entry | None = None
        for entry in entries:
            row = entry.ticket.row
            same = before is not None and before.ticket.row.adapter == row.adapter
            shared = min(_alike(before.ticket.row.prompt_ids, row.prompt_ids), len(row.prompt_ids) - 1) if before and same else 0
            borrowed = tuple(before.path[: shared - before.held]) if before and shared > entry.held else ()
            first = entry.held + len(borrowed)
            count = len(row.prompt_ids) - first
            entry.path = [*borrowed, *range(total, total + count)]
            begun.append((first, borrowed))
            total, before = total + count, entry
        # Rows with like many tokens stand together, which attention's rectangles gain by.
        order = sorted(range(len(entries)), key=lambda index: begun[index][0] - len(entries[index].ticket.row.prompt_ids))
        slots = {index: len(self._live) + place for place, index in enumerate(order)}
        copied = [(entry.source, slots[index], entry.held) for index, entry in enumerate(entries) if entry.held]
        if copied:
            sources, targets, lengths = zip(*copied, strict=True)
            self._cache.copy(sources, targets, max(lengths))
        spans = []
        for index, (entry, (first, borrowed)) in enumerate(zip(entries, begun, strict=True)):
            row = entry.ticket.row
            self._cache.remember(slots[index], row.adapter, row.prompt_ids)
            tokens = row.prompt_ids[first:]
            spans.append(Span(slot=slots[index], adapter=row.adapter, first=first, tokens=tokens, wanted=1, borrowed=borrowed))
        for index in order:
            ticket = entries[index].ticket
            lookup = PromptLookup(ticket.row.prompt_ids if self.limits.drafts else ())
            self._live.append(_Live(ticket=ticket, lookup=lookup, cached=len(ticket.row.prompt_ids)))
        self.counts.prompt_tokens += sum(len(entry.ticket.row.prompt_ids) for entry in entries)
        self.counts.computed_prompt_tokens += total
        return self._pass(spans)

    def _decode(self) -> list[Ticket]:
        """A token and a draft of every row in work."""
        room = [live.ticket.row.max_new_tokens - len(live.ticket.output) - 1 for live in self._live]
        drafts = [live.lookup.draft(live.ticket.output, min(MOST_DRAFT, most)) for live, most in zip(self._live, room, strict=True)]
        rows = len(self._live)
        chances = [(len(tokens), chance) for tokens, chance in drafts]
        lengths = share_out(chances, max(0, FREE_TOKENS - rows), self.limits.prefill_tokens, WORTHWHILE)
        spans = [
            Span(
                slot=slot,
                adapter=live.ticket.row.adapter,
                first=live.cached,
                tokens=(live.ticket.output[-1], *draft[:length]),
                wanted=1 + length,
            )
            for slot, (live, (draft, _), length) in enumerate(zip(self._live, drafts, lengths, strict=True))
        ]
        self.counts.decoding_passes += 1
        self.counts.decoded_rows += rows
        return self._pass(sorted(spans, key=lambda span: span.adapter))

    def _pass(self, spans: Sequence[Span]) -> list[Ticket]:
        """Runs the spans and takes what they gave."""
        assert self._cache is not None
        grouped = not self._llama.has_own_attention
        laid_out = lay_out(spans, self._cache, heads=self._llama.heads, like=self._llama.like, grouped=grouped)
        logits_MV = self._llama(laid_out, self._cache)
        self.counts.passes += 1
        going = self._take(spans, logits_MV)
        touched = [self._live[span.slot].ticket for span in spans]
        gone = sorted(span.slot for span, goes_on in zip(spans, going, strict=True) if not goes_on)
        for slot in gone:
            self._live[slot].ticket.done = True
        self._leave(gone)
        return touched

    def _take(self, spans: Sequence[Span], logits_MV: torch.Tensor) -> list[bool]:
        """Gives each row its token, and further ones as long as its draft foretold them; says which rows go on."""
        likeliest = logits_MV.argmax(-1).tolist()
        starts = [0]
        for span in spans:
            starts.append(starts[-1] + span.wanted)
        going = [True] * len(spans)
        taken = [0] * len(spans)
        asking = list(range(len(spans)))
        while asking:
            chosen = self._chosen(asking, [starts[index] + taken[index] for index in asking], spans, likeliest, logits_MV)
            again = []
            for index, token in zip(asking, chosen, strict=True):
                live, span = self._live[spans[index].slot], spans[index]
                taken[index] += 1
                going[index] = goes_on(live.ticket.output, live.ticket.row, token, self._end_ids)
                if going[index] and taken[index] < span.wanted and span.tokens[taken[index]] == token:
                    again.append(index)
            asking = again
        for span, count in zip(spans, taken, strict=True):
            live = self._live[span.slot]
            if live.cached == span.first:  # decoding: of the draft, what was foretold right stays in the cache
                live.cached += count
                if len(span.tokens) > 1:
                    live.lookup.learn(len(span.tokens) - 1, count - 1)
                    self.counts.drafted += len(span.tokens) - 1
                    self.counts.accepted += count - 1
        return going

    def _chosen(
        self, asking: Sequence[int], places: Sequence[int], spans: Sequence[Span], likeliest: Sequence[int], logits_MV: torch.Tensor
    ) -> list[int]:
        """The next token of each row: the likeliest, unless its decoding says otherwise."""
        chosen = [likeliest[place] for place in places]
        answers = [self._live[spans[index].slot].ticket.answer for index in asking]
        others = [
            number
            for number, answer in enumerate(answers)
            if answer.decoding.temperature > 0 or answer.decoding.repetition_penalty != 1.0
        ]
        if others:
            drawn = next_tokens(logits_MV[[places[number] for number in others]], [answers[number] for number in others])
            for number, token in zip(others, drawn[:, 0].tolist(), strict=True):
                chosen[number] = token
        return chosen


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Leading tokens that both have."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
