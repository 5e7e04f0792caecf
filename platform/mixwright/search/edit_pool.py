"""ERRANT's edits of many rows as Ray tasks.

What comes in: pairs of source and corrected text that the process's extractor does not know. What goes out: their edits, the
same as it would find itself. Pairs of one source stay together, so that a source is parsed once; a task asks for one CPU and
gives it back with its result, and its process keeps the loaded model for the next task. Where no Ray is connected, no two CPUs
are free or the pairs are few, the extractor goes on alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from mixwright.errors import ScoreError
from mixwright.evaluate.parsing import Edit, EditExtractor, Pair, shared_extractor

logger = logging.getLogger(__name__)

PAYS_FROM_PAIRS = 10_000
"""With fewer pairs a process is done alone before others have loaded the model."""

_TASKS_A_CPU = 4
"""More than one, so that a CPU that was given easy rows takes more of them."""
_LEAST_PAIRS_A_TASK = 100
"""Below that, close copies no longer stand together and a parse costs more."""
_LONGEST_SILENCE_S = 300.0


@contextmanager
def parallel_edits(*, tokenized: bool = False, from_pairs: int = PAYS_FROM_PAIRS) -> Iterator[None]:
    """For the length of the block, the process's extractor has large lots of pairs worked out as Ray tasks.

    Args:
        tokenized: which of the two shared extractors; see `shared_extractor`.
        from_pairs: the number of unknown pairs from which it is worth it.
    """

    def find(pairs: Sequence[Pair]) -> list[tuple[Edit, ...]] | None:
        cpus = _free_cpus()
        return find_edits(pairs, tokenized=tokenized, cpus=cpus) if len(pairs) >= from_pairs and cpus > 1 else None

    with shared_extractor(tokenized=tokenized).helped_by(find):
        yield


def find_edits(pairs: Sequence[Pair], *, tokenized: bool, cpus: int) -> list[tuple[Edit, ...]]:
    """The edits of each pair, worked out on `cpus` CPUs of the connected cluster.

    Raises:
        ScoreError: a task failed, or none has come back for five minutes.
    """
    most_tasks = max(cpus, min(cpus * _TASKS_A_CPU, len(pairs) // _LEAST_PAIRS_A_TASK))
    shares = _shares(pairs, most_tasks)
    logger.info("edits of %d pairs of texts on %d CPUs", len(pairs), cpus)
    tasks = [_find.remote([pairs[number] for number in share], tokenized) for share in shares]
    try:
        _wait(tasks)
        found = ray.get(tasks)
    except RayTaskError as failure:
        raise ScoreError(f"edits could not be worked out on the cluster: {failure.cause}") from failure
    except RayError as failure:
        raise ScoreError(f"edits could not be worked out on the cluster: {str(failure).splitlines()[0]}") from failure
    edits: list[tuple[Edit, ...]] = [()] * len(pairs)
    for share, edits_of_share in zip(shares, found, strict=True):
        for number, one in zip(share, edits_of_share, strict=True):
            edits[number] = one
    return edits


@ray.remote(num_cpus=1)
def _find(pairs: Sequence[Pair], tokenized: bool) -> list[tuple[Edit, ...]]:
    return EditExtractor(tokenized=tokenized).edits(pairs)


def _wait(tasks: Sequence[Any]) -> None:
    waiting = list(tasks)
    while waiting:
        done, waiting = ray.wait(waiting, timeout=_LONGEST_SILENCE_S)
        if not done:
            raise ScoreError(
                f"edits: no task has come back for {_LONGEST_SILENCE_S:.0f} s; the cluster's CPUs are taken or its nodes lost"
            )
        ray.get(done)


def _free_cpus() -> int:
    if not ray.is_initialized():
        return 0
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 0))


def _shares(pairs: Sequence[Pair], count: int) -> list[list[int]]:
    """Numbers of pairs in at most `count` shares of much the same length, the pairs of one source together."""
    by_source: dict[str, list[int]] = {}
    for number, (source, _) in enumerate(pairs):
        by_source.setdefault(source, []).append(number)
    most = sum(map(_length, pairs)) / count
    shares: list[list[int]] = [[]]
    filled = 0
    for numbers in by_source.values():
        if filled >= most:
            shares.append([])
            filled = 0
        shares[-1] += numbers
        filled += sum(_length(pairs[number]) for number in numbers)
    return shares


def _length(pair: Pair) -> int:
    return len(pair[0]) + len(pair[1])
