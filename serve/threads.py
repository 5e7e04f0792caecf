"""How many threads a replica decodes with: as many as it may have, or fewer where they were measured to be quicker.

What comes in: a piece of decoding, and the most threads. What goes out: a number, and why. A step of few rows reads all weights and
computes little, so that more threads may wait for the memory, or for one another, longer than they help.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ROUNDS = 3
"""Measurements of each number; the fastest counts, since whatever else runs can only slow one down."""
WORTH = 1.1
"""How many times as fast fewer threads must be: replicas of one machine should come to the same number."""


def choose_threads(decode: Callable[[], object], most: int) -> tuple[int, str]:
    """Sets this process's threads to the number that `decode` is quickest with: `most`, or half of it, a quarter and so on.

    Returns:
        The number, and what was measured, in words.
    """
    import torch

    torch.set_num_threads(most)
    if most == 1:
        return 1, "1 thread"
    decode()  # sets kernels up
    seconds = {most: _fastest(decode)}
    while (fewer := min(seconds) // 2) >= 1:
        torch.set_num_threads(fewer)
        seconds[fewer] = _fastest(decode)
    chosen = min(seconds, key=lambda threads: seconds[threads] * (1.0 if threads == most else WORTH))
    torch.set_num_threads(chosen)
    measured = ", ".join(f"{threads}: {1000 * value:.0f} ms" for threads, value in seconds.items())
    return chosen, f"{chosen} threads (a short decoding by threads: {measured})"


def _fastest(decode: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        decode()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
