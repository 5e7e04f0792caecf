"""Threads are those that a decoding was quickest with, and not a few per cent quicker."""

from __future__ import annotations

import pytest
import torch
from serve import threads
from serve.threads import choose_threads


@pytest.fixture(autouse=True)
def as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch):
    """A clock that decoding moves, by what `seconds` says for the threads that it finds."""
    now = [0.0]
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])

    def decoding(seconds):
        def decode():
            now[0] += seconds[torch.get_num_threads()]

        return decode

    return decoding


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({4: 1.0, 2: 0.5, 1: 0.8}, 2),
        ({4: 1.0, 2: 1.5, 1: 0.4}, 1),
        ({4: 1.0, 2: 0.95, 1: 0.93}, 4),
        ({6: 1.0, 3: 0.8, 1: 2.0}, 3),
    ],
)
def test_the_quickest_number_is_taken_and_said(clock, seconds, chosen):
    found, why = choose_threads(clock(seconds), max(seconds))
    assert found == torch.get_num_threads() == chosen
    assert why.startswith(f"{chosen} threads")
    assert all(f"{number}: {1000 * value:.0f} ms" in why for number, value in seconds.items())


def test_where_there_is_one_thread_nothing_is_measured():
    assert choose_threads(lambda: pytest.fail("there is nothing to choose"), 1) == (1, "1 thread")
    assert torch.get_num_threads() == 1
