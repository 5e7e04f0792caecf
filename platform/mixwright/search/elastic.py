"""Lanes that follow the cluster: where nodes join while a search runs, more of its trials run side by side.

What comes in: the limit on trials side by side, and how much room the cluster has. What goes out: a higher limit, with a log
line. The limit never falls: a lane whose node has gone keeps its trial and waits for room, on a node that joins or where another
lane ends.

Only what nobody else waits for counts as room: the cluster's other jobs have placement groups too, and what they wait for is
taken off first. Room must be there for a while, since a lane that starts again gives its place back for a moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import ConcurrencyLimiter

from mixwright.config import ClusterConfig
from mixwright.search.resources import cluster_nodes, free_lanes

logger = logging.getLogger(__name__)

EVERY_S = 5.0
SETTLED_S = 15.0
"""How long there must have been room before a lane takes it."""


class ElasticLanes(tune.Callback):
    """Raises the limit on trials side by side to what the cluster has room for, never beyond the trials that are left.

    Args:
        limit: the searcher, as Tune asks it.
        trials: that the searcher is asked for in all.
        placed: lanes of this search that have their workers.
    """

    def __init__(self, limit: ConcurrencyLimiter, cluster: ClusterConfig, trials: int, placed: Callable[[], int]) -> None:
        self._limit, self._cluster, self._trials, self._placed = limit, cluster, trials, placed
        self._nodes = len(cluster_nodes())
        self._looked_at = time.monotonic()
        self._seen: list[tuple[float, int]] = []
        """When there was how much room, over the last `SETTLED_S`."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in `TrialSearch`."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune calls this some times a second."""
        now = time.monotonic()
        if now - self._looked_at < EVERY_S:
            return
        self._looked_at = now
        self._say_nodes()
        room = self._room(len(trials))
        self._seen = [*self._seen, (now, room)] if room else []
        if room and now - self._seen[0][0] >= SETTLED_S:
            more = min(found for _, found in self._seen)
            self._limit.set_max_concurrency(self._limit.max_concurrent + more)
            self._seen = []
            logger.info("cluster: lanes added: %d; up to %d trials side by side now", more, self._limit.max_concurrent)

    def _room(self, begun: int) -> int:
        """Lanes to add: what is free, less the lanes that have been let in and have not taken theirs yet."""
        running = len(self._limit.live_trials)
        left = self._trials - begun
        if left <= 0 or running < self._limit.max_concurrent:
            return 0
        free = free_lanes(self._cluster)
        return max(0, min(left, free - (running - self._placed()))) if free else 0

    def _say_nodes(self) -> None:
        nodes = len(cluster_nodes())
        if nodes < self._nodes:
            logger.warning("cluster: %d nodes, %d fewer; what ran there goes on where there is room", nodes, self._nodes - nodes)
        elif nodes > self._nodes:
            logger.info("cluster: %d nodes, %d more", nodes, nodes - self._nodes)
        self._nodes = nodes
