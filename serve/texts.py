"""From tokens to text as they come: what is told is never taken back.

What comes in: an answer's tokens, some at a time. What goes out: pieces of text whose sum is the text of the whole answer. A
character that spans tokens is held back until it is complete, and so is whatever may be the beginning of a stop text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

INCOMPLETE = "�"
"""What tokenizers decode a part of a character to."""


class TextOfTokens:
    """The text of tokens that grow in number; decodes the last few alone."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._told = ""
        self._before = self._read = 0

    def add(self, token_ids: Sequence[int]) -> str:
        """What these tokens make certain."""
        self._ids += token_ids
        # Decoded with the tokens before, since some tokenizers treat the first one otherwise.
        old = self._decode(self._ids[self._before : self._read])
        new = self._decode(self._ids[self._before :])
        if len(new) <= len(old) or new.endswith(INCOMPLETE) or not new.startswith(old):
            return ""
        self._before, self._read = self._read, len(self._ids)
        self._told += new[len(old) :]
        return new[len(old) :]

    def rest(self) -> str:
        """What is left at the end, incomplete characters too."""
        whole = self._decode(self._ids)
        return whole[len(self._told) :] if whole.startswith(self._told) else ""


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop text begins that is complete first; None where there is none."""
    found = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return min(found)[1] if found else None


class UpToStop:
    """Text up to the first stop, told as soon as it cannot be part of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def add(self, text: str) -> str:
        """What of the text so far is certain to stay."""
        self._held += text
        if self.stopped or not self._stops:
            return self._take(0 if self.stopped else len(self._held))
        place = first_stop(self._held, self._stops)
        if place is not None:
            self.stopped = True
            return self._take(place)
        return self._take(len(self._held) - self._begun())

    def rest(self) -> str:
        """What was held back for nothing, at the end."""
        return self._take(0 if self.stopped else len(self._held))

    def _take(self, count: int) -> str:
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _begun(self) -> int:
        """Characters at the end that a stop may begin with."""
        longest = max(map(len, self._stops)) - 1
        for count in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-count:]) for stop in self._stops):
                return count
        return 0
