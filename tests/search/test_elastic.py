"""When a search lets more trials run side by side, on made-up room."""

from __future__ import annotations

import pytest
from ray.tune.search import ConcurrencyLimiter, Searcher

from mixwright.config import ClusterConfig
from mixwright.search import elastic
from mixwright.search.elastic import ElasticLanes


class Points(Searcher):
    """As many as one likes."""

    def __init__(self) -> None:
        super().__init__(metric="seen", mode="max")

    def suggest(self, trial_id: str) -> dict[str, int]:
        return {"x": 0}


class Search:
    """A search that asks for as many trials as it may run, and its cluster.

    Args:
        lanes: at the start.
        trials: in all.
    """

    def __init__(self, patch: pytest.MonkeyPatch, lanes: int, trials: int) -> None:
        self.now, self.free, self.placed, self.nodes = 0.0, 0, lanes, 1
        self.trials, self.begun = trials, 0
        patch.setattr(elastic.time, "monotonic", lambda: self.now)
        patch.setattr(elastic, "free_lanes", lambda cluster: self.free)
        patch.setattr(elastic, "cluster_nodes", lambda: [{}] * self.nodes)
        self.limit = ConcurrencyLimiter(Points(), lanes)
        self.lanes = ElasticLanes(self.limit, ClusterConfig(), trials, lambda: self.placed)
        self.pass_by(0)

    def pass_by(self, seconds: int) -> int:
        """Lets time pass, and says how many trials may run side by side then."""
        for _ in range(seconds + 1):
            while self.begun < self.trials and self.limit.suggest(f"trial_{self.begun}"):
                self.begun += 1
            self.lanes.on_step_end(0, [None] * self.begun)
            self.now += 1
        return self.limit.max_concurrent


def test_room_that_stays_becomes_lanes_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mixwright")
    search = Search(monkeypatch, lanes=2, trials=100)
    search.free, search.nodes = 3, 2
    assert search.pass_by(10) == 2
    assert search.pass_by(15) == 5
    assert "cluster: 2 nodes, 1 more" in caplog.text
    assert "lanes added: 3; up to 5 trials side by side now" in caplog.text


def test_lanes_that_start_are_not_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, lanes=2, trials=100)
    search.free = 1
    assert search.pass_by(60) == 3, "the third has been let in and has not taken its place yet"
    search.placed, search.free = 3, 0
    assert search.pass_by(60) == 3


def test_a_place_that_is_free_for_a_moment_is_left_to_whom_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, lanes=2, trials=100)
    for _ in range(10):
        search.free = 1
        search.pass_by(8)
        search.free = 0
        search.pass_by(8)
    assert search.limit.max_concurrent == 2


def test_a_lost_lanes_place_is_its_own_when_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, lanes=2, trials=100)
    search.placed = search.nodes = 1
    assert search.pass_by(60) == 2
    search.free = 1
    assert search.pass_by(60) == 2


def test_there_are_never_more_lanes_than_trials_left(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(monkeypatch, lanes=2, trials=3)
    search.free = 10
    assert search.pass_by(60) == 3
    search = Search(monkeypatch, lanes=2, trials=2)
    search.free = 10
    assert search.pass_by(60) == 2
