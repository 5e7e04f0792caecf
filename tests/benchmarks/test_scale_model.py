"""The simulator's own rules; benchmarks/scale.py holds it against measured runs."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.quick import imported

from mixwright.config import SweepConfig
from mixwright.search import schedulers
from mixwright.search_config import SCALAR

model = imported("scale_model")
Costs, Fleet, Work, simulate = model.Costs, model.Fleet, model.Work, model.simulate

COSTS = Costs(
    start_s=20.0,
    load_gib=10.0,
    base_evaluation_s=7.0,
    switch_s=0.5,
    evaluation_s=7.0,
    checkpoint_s=0.3,
    checkpoint_gib=0.5,
    suggest_s=0.05,
    result_s=0.02,
    restart_s=30.0,
    close_s=5.0,
)
WORK = Work(trials=300, trial_s=400.0)
TROUBLE = Fleet(
    lanes=48,
    gpus_a_lane=2,
    slow_share=0.3,
    slow_by=1.5,
    jitter=0.2,
    lifetime_h=1.0,
    replacement_s=300.0,
    store_gib_a_second=2.0,
)
FLEETS = {
    "calm": Fleet(lanes=48),
    "trouble": TROUBLE,
    "one store for all": Fleet(lanes=48, store_gib_a_second=0.1),
    "more lanes than trials": Fleet(lanes=400),
    "a lane of two nodes": Fleet(lanes=8, gpus_a_lane=16, lifetime_h=4.0, replacement_s=60.0),
}


def scores(trial: int, rung: int) -> float:
    return random.Random(f"{trial}").random()


def outcome(fleet: Any, work: Any = WORK, costs: Any = COSTS) -> Any:
    return simulate(work, costs, fleet, scores)


@pytest.mark.parametrize("name", FLEETS)
def test_the_lanes_time_is_spent_once_and_whole(name: str) -> None:
    found = outcome(FLEETS[name])
    assert sum(found.spent_s.values()) == pytest.approx(FLEETS[name].lanes * found.wall_s)
    assert all(seconds >= 0 for kind, seconds in found.spent_s.items() if kind != "slowness")


@pytest.mark.parametrize("name", FLEETS)
def test_the_training_that_is_kept_is_that_of_the_rungs_that_were_reached(name: str) -> None:
    found = outcome(FLEETS[name])
    shares = (0.0, *WORK.rungs)
    assert found.spent_s["training"] == pytest.approx(sum(shares[reached] * WORK.trial_s for reached in found.rungs_reached))
    assert found.spent_s["evaluation"] == pytest.approx(sum(found.rungs_reached) * COSTS.evaluation_s)
    assert len(found.rungs_reached) == WORK.trials
    assert all(reached >= 1 for reached in found.rungs_reached) or found.failed


def test_the_same_input_gives_the_same_outcome() -> None:
    assert outcome(TROUBLE) == outcome(TROUBLE)
    assert outcome(TROUBLE) != outcome(dataclasses.replace(TROUBLE, seed=1))


@pytest.mark.parametrize("lanes", [1, 7, 50, 100])
def test_without_losses_and_halving_the_wall_time_is_the_closed_form(lanes: int) -> None:
    costs = Costs(start_s=20.0, switch_s=0.5, evaluation_s=7.0, checkpoint_s=0.3, close_s=5.0)
    work = Work(trials=100, trial_s=400.0, reduction_factor=None)
    each, turns = 400.0 + 3 * (7.0 + 0.3), math.ceil(100 / lanes)
    assert outcome(Fleet(lanes=lanes), work, costs).wall_s == pytest.approx(20.0 + turns * each + (turns - 1) * 0.5 + 5.0)


def test_more_lanes_are_never_slower() -> None:
    work, costs = Work(trials=100, trial_s=400.0, reduction_factor=None), dataclasses.replace(COSTS, suggest_s=0.0, result_s=0.0)
    walls = [outcome(Fleet(lanes=lanes, jitter=0.3), work, costs).wall_s for lanes in range(1, 101)]
    assert all(more <= fewer + 1e-6 for fewer, more in itertools.pairwise(walls))
    assert walls[-1] < walls[0] / 20


def test_no_sweep_is_quicker_than_its_driver_or_its_store() -> None:
    short = Work(trials=300, trial_s=1.0)
    found = outcome(Fleet(lanes=300), short)
    assert found.driver_s == pytest.approx(300 * COSTS.suggest_s + sum(found.rungs_reached) * COSTS.result_s)
    assert found.wall_s >= found.driver_s
    narrow = outcome(Fleet(lanes=300, store_gib_a_second=0.05), short)
    assert narrow.wall_s >= (38 * COSTS.load_gib + sum(narrow.rungs_reached) * COSTS.checkpoint_gib) / 0.05


def test_slow_nodes_slow_what_runs_on_them_by_as_much() -> None:
    work = Work(trials=100, trial_s=400.0, reduction_factor=None)
    slow, calm = outcome(Fleet(lanes=10, slow_share=1.0, slow_by=2.0), work), outcome(Fleet(lanes=10), work)
    assert slow.spent_s["slowness"] == pytest.approx(calm.spent_s["training"] + calm.spent_s["evaluation"])
    assert calm.spent_s["slowness"] == pytest.approx(0.0, abs=1e-6)


def test_a_loss_costs_the_work_since_the_last_rung_the_wait_and_the_restart_and_nothing_else() -> None:
    work = Work(trials=20, trial_s=400.0, reduction_factor=None)
    lost = outcome(Fleet(lanes=1, lifetime_h=1.0, replacement_s=300.0), work)
    calm = outcome(Fleet(lanes=1), work)
    assert lost.losses > 0
    assert lost.wall_s - calm.wall_s == pytest.approx(lost.spent_s["lost"] + lost.spent_s["away"])
    assert lost.spent_s["away"] == pytest.approx(300.0 * lost.losses)
    longest_stretch = 200.0 + COSTS.evaluation_s + COSTS.checkpoint_s + COSTS.switch_s + 1.0
    assert 0 < lost.spent_s["lost"] <= lost.losses * (longest_stretch + COSTS.restart_s)


def test_more_rungs_lose_less() -> None:
    fleet, costs = Fleet(lanes=8, lifetime_h=3.0, replacement_s=60.0, max_failures=1000), Costs(restart_s=30.0)

    def lost(rungs: int) -> float:
        shares = tuple((number + 1) / rungs for number in range(rungs))
        work = Work(trials=64, trial_s=3600.0, rungs=shares, reduction_factor=None)
        return float(outcome(fleet, work, costs).spent_s["lost"])

    assert lost(8) < lost(4) < lost(2) < lost(1)


def test_a_trial_that_loses_its_workers_too_often_fails_and_the_others_go_on() -> None:
    work = Work(trials=40, trial_s=4 * 3600.0, rungs=(1.0,))
    found = outcome(Fleet(lanes=8, gpus_a_node=1, lifetime_h=3.0, max_failures=2), work)
    assert 0 < found.failed < 40
    assert sum(reached == 0 for reached in found.rungs_reached) == found.failed
    assert outcome(Fleet(lanes=8, gpus_a_node=1, lifetime_h=3.0, max_failures=1000), work).failed == 0


def test_the_lanes_of_a_node_read_the_model_once() -> None:
    costs, work = Costs(load_gib=8.0), Work(trials=16, trial_s=1.0, reduction_factor=None)
    two_nodes = outcome(Fleet(lanes=16, store_gib_a_second=1.0), work, costs)
    assert two_nodes.spent_s["start"] == pytest.approx(8 * 8.0 + 8 * 16.0)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_halving_stops_whom_the_schedulers_rule_stops(factor: float) -> None:
    rungs, chance = (0.2, 0.5, 1.0), random.Random(0)
    search = {"scheduler": {"rungs": rungs, "reduction_factor": factor}}
    scheduler = schedulers.make(SweepConfig.model_validate({"name": "x", "search": search}), [])
    ours, controller, waiting = model.Halving(len(rungs), factor), None, [(trial, 0) for trial in range(200)]
    trials = [_Trial(f"trial_{number}") for number in range(200)]
    decisions = []
    for trial in trials:
        scheduler.on_trial_add(controller, trial)  # type: ignore[arg-type]
    while waiting:
        trial, rung = waiting.pop(chance.randrange(len(waiting)))
        score = round(chance.gauss(trial % 7, 2), 1)  # ties too
        result = {"halving_time": factor**rung, SCALAR: score}
        theirs = scheduler.on_trial_result(controller, trials[trial], result)  # type: ignore[arg-type]
        goes_on = ours.goes_on(rung, score)
        if rung < len(rungs) - 1:  # a trial ends at the last rung by itself
            decisions.append(goes_on)
            assert goes_on == (theirs == "CONTINUE"), (trial, rung, score)
        if goes_on:
            waiting.append((trial, rung + 1))
    assert {True, False} == set(decisions)


class _Trial:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def test_the_model_is_plain_python() -> None:
    source = Path(model.__file__).read_text(encoding="utf-8")
    assert "mixwright" not in source.split('"""', 2)[2]
    assert "import ray" not in source
