"""What a sampler draws next, made to hang on names alone: a search that is taken up again draws what it would have drawn.

Optuna's samplers keep their history in the study, which lasts, and a stream of random numbers in themselves, which does not. Here
the stream begins anew at each suggestion, from the search's seed and the number of the suggestion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.samplers._lazy_random_state import LazyRandomState


def reseed(sampler: optuna.samplers.BaseSampler, seed: int, suggestion: int) -> None:
    """Starts all streams of a sampler, and of those that it holds, anew."""
    digest = hashlib.blake2b(f"suggestion|{seed}|{suggestion}".encode(), digest_size=4).digest()
    for stream in _streams(sampler):
        stream.rng.seed(int.from_bytes(digest, "big"))


def _streams(holder: Any) -> Iterator[LazyRandomState]:
    for held in vars(holder).values():
        if isinstance(held, LazyRandomState):
            yield held
        elif isinstance(held, optuna.samplers.BaseSampler):
            yield from _streams(held)
