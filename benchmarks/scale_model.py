"""A sweep on a cluster as a list of events: where its lanes' time goes, without running it.

What comes in: what is to be done (`Work`), what each thing costs (`Costs`), where (`Fleet`), and what trials score. What goes out:
an `Outcome` with the wall time and every lane's seconds by what they were spent on. Plain Python, no chance but that of the seeds:
the same input gives the same outcome to the last bit. `scale.py` brings measured costs and holds it against measured runs.

What is modelled, as `search/sweep.py` and `train/resident.py` have it:

- A lane starts, its nodes read the base model from the store once each, and the first trial evaluates the base.
- A trial trains up to a rung, is evaluated and saves a checkpoint; the driver then decides. Nothing is saved between rungs.
- Halving compares a trial with those that reached its rung before, and stops it or lets it go on at once (ASHA).
- The driver serves one event at a time: a rung's result, or a suggestion. Lanes wait for it in order.
- The store has one bandwidth for all, and what is asked for is sent in order.
- A lost node takes all its lanes with it, and is replaced after a while. A trial goes on from its last rung; one that was lost more
  than `max_failures` times is failed.
- A slow node slows every lane that has a GPU on it: the workers of a lane wait for one another.

What is not: trials that a sampler makes better over time, networks between a lane's own nodes, nodes that are taken away for good.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal, NamedTuple, get_args

Scores = Callable[[int, int], float]
"""Trial and rung -> score, higher is better."""
Event = Callable[[float], None]
"""What happens, told the moment."""
Kind = Literal["start", "switch", "training", "slowness", "evaluation", "checkpoint", "driver", "lost", "away", "idle"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a sweep has to do."""

    trials: int
    trial_s: float
    """Training of a trial's whole budget on a lane of ordinary speed."""
    rungs: tuple[float, ...] = (0.25, 0.5, 1.0)
    reduction_factor: float | None = 2.0
    """None: nobody is stopped."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What stands around training, in seconds unless the name says otherwise."""

    start_s: float = 0.0
    """From nothing to a lane whose processes are up, the base model not yet read."""
    load_gib: float = 0.0
    """Read from the store by each node once; its lanes share it."""
    base_evaluation_s: float = 0.0
    """In the first trial alone."""
    switch_s: float = 0.0
    evaluation_s: float = 0.0
    checkpoint_s: float = 0.0
    """Writing it where the worker is."""
    checkpoint_gib: float = 0.0
    """Sent to the store after that."""
    suggest_s: float = 0.0
    result_s: float = 0.0
    """Of the driver, for each rung's result."""
    restart_s: float = 0.0
    """From a node that is back to a worker group that trains again."""
    close_s: float = 0.0
    """After the last trial."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Where it runs."""

    lanes: int
    gpus_a_lane: int = 1
    gpus_a_node: int = 8
    slow_share: float = 0.0
    """Share of the nodes that are slow, for good."""
    slow_by: float = 1.0
    """How many times as long everything takes there."""
    jitter: float = 0.0
    """Standard deviation of the logarithm of a stretch's time, drawn anew for each."""
    lifetime_h: float = math.inf
    """Mean hours until a node is lost; memoryless."""
    replacement_s: float = 0.0
    max_failures: int = 2
    store_gib_a_second: float = math.inf
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a sweep took."""

    wall_s: float
    spent_s: dict[Kind, float]
    """Seconds of all lanes together; they add up to lanes times `wall_s`."""
    rungs_reached: tuple[int, ...]
    """By trial."""
    failed: int
    losses: int
    """Times that a lane lost a node under a trial."""
    driver_s: float
    """In which the driver was busy."""
    gpus: int

    @property
    def utilisation(self) -> float:
        """Share of the lanes' time that trained, at ordinary speed, what was then kept."""
        return self.spent_s["training"] / sum(self.spent_s.values())

    @property
    def gpu_hours(self) -> float:
        """Of all GPUs for all of the wall time: they are held, busy or not."""
        return self.gpus * self.wall_s / 3600


KINDS: tuple[Kind, ...] = get_args(Kind)


def simulate(work: Work, costs: Costs, fleet: Fleet, scores: Scores) -> Outcome:
    """What a sweep of `work` takes on `fleet`."""
    return _Run(work, costs, fleet, scores).outcome()


@cache
def made_up_scores(seed: int, *, noise: float = 0.5) -> Scores:
    """Trials that differ by one standard deviation, seen at each rung with noise of its own; no sampler makes later ones better."""

    @cache
    def score(trial: int, rung: int) -> float:
        return random.Random(f"{seed}:{trial}").gauss(0, 1) + random.Random(f"{seed}:{trial}:{rung}").gauss(0, noise)

    return score


class Halving:
    """ASHA's rule as Ray Tune has it: go on unless below the quantile of those that came to the rung before."""

    def __init__(self, rungs: int, factor: float | None) -> None:
        self._quantile = None if factor is None else 1 - 1 / factor
        self._before: list[list[float]] = [[] for _ in range(rungs)]

    def goes_on(self, rung: int, score: float) -> bool:
        """Of a trial with that score at that rung, from 0; takes note of it. The last rung ends a trial anyway."""
        before = self._before[rung]
        good = self._quantile is None or not before or score >= _quantile(before, self._quantile)
        insort(before, score)
        return good and rung < len(self._before) - 1


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


class Queue:
    """Serves one after another, in the order of asking."""

    def __init__(self) -> None:
        self._free_at = 0.0
        self.busy_s = 0.0

    def served_at(self, now: float, seconds: float) -> float:
        """When a service that is asked for now, and takes so long, has ended."""
        self.busy_s += seconds
        self._free_at = max(self._free_at, now) + seconds
        return self._free_at


class Node:
    """One machine: slow or not, and when it is lost."""

    def __init__(self, number: int, fleet: Fleet) -> None:
        self.slowness = fleet.slow_by if random.Random(f"{fleet.seed}:slow:{number}").random() < fleet.slow_share else 1.0
        self.loaded_at: dict[int, float] = {}
        """Times that it was lost before -> when it had read the base model."""
        self._chance = random.Random(f"{fleet.seed}:lost:{number}")
        self._fleet = fleet
        self._losses: list[float] = []

    def next_loss(self, after: float) -> float:
        """When the node is lost for the first time after that moment; a replacement's life begins when it is there."""
        if math.isinf(self._fleet.lifetime_h):
            return math.inf
        while not self._losses or self._losses[-1] <= after:
            up_since = self._losses[-1] + self._fleet.replacement_s if self._losses else 0.0
            self._losses.append(up_since + self._chance.expovariate(1 / (3600 * self._fleet.lifetime_h)))
        return self._losses[bisect_right(self._losses, after)]

    def life(self, now: float) -> int:
        """Times that it was lost up to now."""
        self.next_loss(now)
        return bisect_right(self._losses, now)


@dataclass(kw_only=True)
class _Lane:
    """A lane's state."""

    nodes: list[Node]
    at: float = 0.0
    """Up to when its time is accounted for."""
    watched: float = 0.0
    """Up to when losses of its nodes were looked for."""
    is_up: bool = False
    spent_s: dict[Kind, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    def spend(self, kind: Kind, until: float) -> None:
        self.spent_s[kind] += until - self.at
        self.at = until

    @property
    def slowness(self) -> float:
        return max(node.slowness for node in self.nodes)

    def next_loss(self) -> float:
        return min(node.next_loss(self.watched) for node in self.nodes)


class _Stretch(NamedTuple):
    """From one rung of a trial to the next."""

    trial: int
    rung: int


class _Run:
    def __init__(self, work: Work, costs: Costs, fleet: Fleet, scores: Scores) -> None:
        self._work, self._costs, self._fleet, self._scores = work, costs, fleet, scores
        nodes = [Node(number, fleet) for number in range(math.ceil(fleet.lanes * fleet.gpus_a_lane / fleet.gpus_a_node))]
        self._lanes = [_Lane(nodes=_nodes_of(number, nodes, fleet)) for number in range(min(fleet.lanes, work.trials))]
        self._halving = Halving(len(work.rungs), work.reduction_factor)
        self._driver, self._store = Queue(), Queue()
        self._events: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._next_trial = 0
        self._reached = [0] * work.trials
        self._lost_times = [0] * work.trials
        self._failed = 0
        self._last_end = 0.0

    def outcome(self) -> Outcome:
        for lane in self._lanes:
            self._at(0.0, partial(self._take_next, lane))
        while self._events:
            moment, _, happen = heapq.heappop(self._events)
            happen(moment)
        wall_s = self._last_end + self._costs.close_s
        for lane in self._lanes:
            lane.spend("idle", wall_s)
        spent = {kind: sum(lane.spent_s[kind] for lane in self._lanes) for kind in KINDS}
        spent["idle"] += (self._fleet.lanes - len(self._lanes)) * wall_s
        return Outcome(
            wall_s=wall_s,
            spent_s=spent,
            rungs_reached=tuple(self._reached),
            failed=self._failed,
            losses=sum(self._lost_times),
            driver_s=self._driver.busy_s,
            gpus=self._fleet.lanes * self._fleet.gpus_a_lane,
        )

    def _at(self, moment: float, happen: Event) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _take_next(self, lane: _Lane, now: float) -> None:
        """The driver suggests the next trial, if there is one."""
        if self._next_trial == self._work.trials:
            return
        trial, self._next_trial = self._next_trial, self._next_trial + 1
        suggested = self._driver.served_at(now, self._costs.suggest_s)
        lane.spend("driver", suggested)
        if lane.is_up:
            ready = suggested + self._costs.switch_s
            lane.spend("switch", ready)
            self._at(ready, partial(self._train, lane, _Stretch(trial, 0)))
        else:
            self._at(suggested + self._costs.start_s, partial(self._load, lane, trial))

    def _load(self, lane: _Lane, trial: int, now: float) -> None:
        """The lane's processes are up; its nodes read the base model."""
        ready = max(self._loaded_at(node, now) for node in lane.nodes)
        if trial == 0:
            ready += self._costs.base_evaluation_s
        lane.spend("start", ready)
        lane.is_up = True
        self._at(ready, partial(self._train, lane, _Stretch(trial, 0)))

    def _loaded_at(self, node: Node, now: float) -> float:
        life = node.life(now)
        if life not in node.loaded_at:
            node.loaded_at[life] = self._sent_at(now, self._costs.load_gib)
        return max(now, node.loaded_at[life])

    def _sent_at(self, now: float, gib: float) -> float:
        return self._store.served_at(now, gib / self._fleet.store_gib_a_second) if gib else now

    def _train(self, lane: _Lane, stretch: _Stretch, now: float) -> None:
        """Up to the rung, and its evaluation."""
        nominal = self._nominal_s(stretch.rung)
        end = now + lane.slowness * self._jitter(stretch) * (nominal + self._costs.evaluation_s)
        if (loss := lane.next_loss()) < end:
            self._lose(lane, stretch, loss, now)
        else:
            self._at(end, partial(self._save, lane, stretch))

    def _nominal_s(self, rung: int) -> float:
        before = self._work.rungs[rung - 1] if rung else 0.0
        return (self._work.rungs[rung] - before) * self._work.trial_s

    def _jitter(self, stretch: _Stretch) -> float:
        if not self._fleet.jitter:
            return 1.0
        return math.exp(self._fleet.jitter * _ordinary(self._fleet.seed, stretch))

    def _save(self, lane: _Lane, stretch: _Stretch, now: float) -> None:
        """The checkpoint, without which the stretch would have to be run again."""
        saved = self._sent_at(now + self._costs.checkpoint_s, self._costs.checkpoint_gib)
        if (loss := lane.next_loss()) < saved:
            self._lose(lane, stretch, loss, now)
            return
        lane.spend("training", lane.at + self._nominal_s(stretch.rung))
        lane.spend("evaluation", lane.at + self._costs.evaluation_s)
        lane.spend("slowness", now)
        lane.spend("checkpoint", saved)
        lane.watched = saved
        self._at(saved, partial(self._report, lane, stretch))

    def _report(self, lane: _Lane, stretch: _Stretch, now: float) -> None:
        """The driver decides on the trial."""
        trial, rung = stretch
        self._reached[trial] = rung + 1
        decided = self._driver.served_at(now, self._costs.result_s)
        lane.spend("driver", decided)
        if self._halving.goes_on(rung, self._scores(trial, rung)):
            self._at(decided, partial(self._train, lane, _Stretch(trial, rung + 1)))
        else:
            self._at(decided, partial(self._end, lane))

    def _end(self, lane: _Lane, now: float) -> None:
        self._last_end = now
        self._take_next(lane, now)

    def _lose(self, lane: _Lane, stretch: _Stretch, loss: float, now: float) -> None:
        """A node of the lane is gone, and with it what the trial did since its last rung."""
        self._lost_times[stretch.trial] += 1
        self._come_back(lane, loss, now, partial(self._go_on, lane, stretch))

    def _come_back(self, lane: _Lane, loss: float, now: float, then: Event) -> None:
        """The node is replaced, reads the base model, and the worker group starts again.

        Args:
            now: the lane may hear of a loss late, where it was waiting for the driver.
        """
        lane.watched = loss
        lane.spend("lost", max(loss, lane.at))
        self._at(max(loss + self._fleet.replacement_s, now), partial(self._rejoin, lane, then))

    def _rejoin(self, lane: _Lane, then: Event, now: float) -> None:
        lane.spend("away", max(now, lane.at))
        ready = max(self._loaded_at(node, now) for node in lane.nodes) + self._costs.restart_s
        if (loss := lane.next_loss()) < ready:
            self._come_back(lane, loss, now, then)
            return
        lane.spend("lost", ready)
        lane.watched = ready
        self._at(ready, then)

    def _go_on(self, lane: _Lane, stretch: _Stretch, now: float) -> None:
        if self._lost_times[stretch.trial] > self._fleet.max_failures:
            self._failed += 1
            self._end(lane, now)
        else:
            self._train(lane, stretch, now)


@cache
def _ordinary(seed: int, stretch: _Stretch) -> float:
    """A normal draw that hangs on the stretch alone, so that fleets are compared with the same luck."""
    return random.Random(f"{seed}:jitter:{stretch.trial}:{stretch.rung}").gauss(0, 1)


def _nodes_of(lane: int, nodes: list[Node], fleet: Fleet) -> list[Node]:
    """Lanes are packed: those with consecutive numbers share a node."""
    first, last = lane * fleet.gpus_a_lane, (lane + 1) * fleet.gpus_a_lane - 1
    return nodes[first // fleet.gpus_a_node : last // fleet.gpus_a_node + 1]
