"""Draft tokens copied from a row's own prompt: an edit repeats most of its input (prompt lookup, Saxena 2023).

What comes in: a prompt, then the answer's tokens as they come. What goes out: tokens that may follow, and the chance that they are
kept. Whether they are is up to the model, which sees them all in one step: drafts change how many steps an answer takes, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_MATCH = 3
CONFIDENCE = {1: 0.6, 2: 0.9, 3: 0.97}
"""How much a match of so many tokens is trusted, beside what came of the row's earlier drafts."""
FIRST_RATE, MEMORY = 0.85, 0.6
"""The share of drafted tokens that a row is taken to keep at first, and how much of that belief outlasts one more draft."""


class PromptLookup:
    """Drafts for one row."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._prompt = tuple(prompt_ids)
        self._after: dict[tuple[int, ...], int] = {}
        for length in range(1, LONGEST_MATCH + 1):
            for end in range(length, len(self._prompt)):
                self._after[self._prompt[end - length : end]] = end  # the latest place wins: a prompt's text stands at its end
        self._rate = FIRST_RATE

    def draft(self, output: Sequence[int], limit: int) -> tuple[tuple[int, ...], float]:
        """At most `limit` tokens that may follow the output, and the chance that one is kept where all before it are."""
        for length in range(min(LONGEST_MATCH, len(output)), 0, -1):
            place = self._after.get(tuple(output[-length:]))
            if place is not None:
                return self._prompt[place : place + limit], self._rate * CONFIDENCE[length]
        return (), 0.0

    def learn(self, drafted: int, kept: int) -> None:
        """What came of a draft of at least one token."""
        tried = min(drafted, kept + 1)  # nothing is known of what stood behind the first that was refused
        self._rate = MEMORY * self._rate + (1 - MEMORY) * kept / tried


def share_out(chances: Sequence[tuple[int, float]], free: int, most: int, worthwhile: float) -> list[int]:
    """How many draft tokens each row sends into a step.

    Args:
        chances: of each row, how many tokens are there and the chance that the first is kept.
        free: tokens that cost the step next to nothing, since it is bound by reading weights.
        most: draft tokens of the step.
        worthwhile: the chance below which a token beyond the free ones is left out.
    """
    ranked = sorted(
        ((chance ** (place + 1), row) for row, (length, chance) in enumerate(chances) for place in range(length)),
        key=lambda item: (-item[0], item[1]),
    )
    lengths = [0] * len(chances)
    for number, (chance, row) in enumerate(ranked[:most]):
        if number >= free and chance < worthwhile:
            break
        lengths[row] += 1
    return lengths
