"""Public texts with a system's outputs and several annotators, read where they lie; for golden tests and benchmarks/metrics.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

M2Edit = tuple[int, int, list[str]]
"""Tokens `start` to `end` become these words."""


@dataclass(frozen=True)
class Parallel:
    """Tokenised sources, one system's outputs, and the texts of each annotator."""

    sources: list[str]
    outputs: list[str]
    annotators: list[list[str]]

    @property
    def references(self) -> list[tuple[str, ...]]:
        """The annotators' texts row by row."""
        return list(zip(*self.annotators, strict=True))

    def first(self, rows: int) -> Parallel:
        return Parallel(self.sources[:rows], self.outputs[:rows], [texts[:rows] for texts in self.annotators])


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def jfleg(data: Path) -> Parallel:
    """JFLEG dev; the first reference stands in for a system."""
    references = [lines(data / f"jfleg/dev.ref{number}") for number in range(4)]
    return Parallel(lines(data / "jfleg/dev.src"), references[0], references[1:])


def asset(data: Path) -> Parallel:
    """ASSET valid; the first reference stands in for a system."""
    references = [lines(data / f"asset/asset.valid.simp.{number}") for number in range(10)]
    return Parallel(lines(data / "asset/asset.valid.orig"), references[0], references[1:])


def cweb(data: Path, part: str) -> Parallel:
    """CWEB dev, G or S. The system is made up: half of some annotator's edits, and in every second row a word too few or twice."""
    blocks = (data / f"cweb/CWEB-{part}.dev.m2").read_text(encoding="utf-8").strip().split("\n\n")
    tokens = [block.split("\n")[0].split(" ")[1:] for block in blocks]
    edits = [[_edits(block, str(annotator)) for block in blocks] for annotator in range(2)]
    corrected = [[_applied(*row) for row in zip(tokens, annotator, strict=True)] for annotator in edits]
    rng = random.Random(part)
    outputs = []
    for source, *annotators in zip(tokens, *edits, strict=True):
        words = _applied(source, [edit for edit in rng.choice(annotators) if rng.random() < 0.5])
        if rng.random() < 0.5:
            at = rng.randrange(len(words))
            words[at : at + 1] = rng.choice(([], [words[at]] * 2))
        outputs.append(words or ["."])
    sources, system, *annotators = ([" ".join(words) for words in texts] for texts in (tokens, outputs, *corrected))
    return Parallel(sources, system, annotators)


def _edits(block: str, annotator: str) -> list[M2Edit]:
    found = []
    for line in block.split("\n")[1:]:
        span, kind, correction, *_, who = line[2:].split("|||")
        if who == annotator and kind != "noop":
            start, end = map(int, span.split())
            found.append((start, end, correction.split(" ") if correction not in ("", "-NONE-") else []))
    return found


def _applied(tokens: Sequence[str], edits: Sequence[M2Edit]) -> list[str]:
    words = list(tokens)
    for start, end, correction in reversed(edits):
        words[start:end] = correction
    return words
