"""What share of a cluster's time do trials get, on one lane, two and four, each on a node of its own?

    python benchmarks/cluster_scale.py [--quick] [--rounds N] [--json]

A trial sleeps: it costs time and no processor, so that what is measured is what stands around it. Each lane has the same number of
trials of the same length, and each node room for one lane. The nodes are Ray's own (`ray.cluster_utils.Cluster`): a real raylet
each, with its own worker processes, on this one machine, which they share. Ours is what a sweep has: Ray Tune with warm lanes, TPE
over two keys and three objectives, a record a trial, and study.db. The rival is Ray Tune as it comes: a function that sleeps
and reports, and OptunaSearch.

efficiency_N_lanes        The sleep of a lane's trials, one after another, by the wall time from the moment when all N lanes were up
                          to the end of the last trial; the median over rounds. 1 would be no overhead.
efficiency_N_lanes_whole  The same from the call that starts the search to its end: the lanes' own start and their close are in it,
                          which weigh the less the longer a sweep takes.
rival_...                 The rival's. It has no lanes to start: its first N trials wait for one another.
overhead_ms_per_trial     What a trial costs a lane beside its sleep, at N = 4; `rival_...` likewise.

On two cores four lanes share what they compute with the driver and with one another; on nodes of their own they would not.
`--quick` has shorter trials and fewer of them, and takes two minutes where nothing else runs: the rival's processes have to start.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from common import Measurement, Outcome, arguments, load, publish, timed
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.search.optuna import OptunaSearch

from mixwright.config import ClusterConfig, SweepConfig
from mixwright.errors import run_job
from mixwright.records import TrialRecord
from mixwright.search import sweep
from mixwright.search.board import Board
from mixwright.search.cluster import connected
from mixwright.search.space import distributions
from mixwright.search.study import StudyFile
from mixwright.search_config import SCALAR
from mixwright.store.runs import open_run
from mixwright.store.studies import study_place

OURS, RIVAL = "mixwright", "ray tune"
LANES = (1, 2, 4)
NAMES = ("seen", "unseen", "retention")
RUNGS = (0.5, 1.0)
SEAT = "seat"
"""The resource of which each node has one, and each lane takes one."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is run."""

    trials_a_lane: int
    trial_s: float

    @property
    def ideal_s(self) -> float:
        """Of the sleep of one lane's trials."""
        return self.trials_a_lane * self.trial_s


FULL = Size(trials_a_lane=10, trial_s=6.0)
QUICK = Size(trials_a_lane=4, trial_s=2.0)


class Gate:
    """A folder in which each process that has started leaves a file; none goes on before enough have."""

    def __init__(self, folder: Path, lanes: int) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._lanes, self._open = folder, lanes, False

    def pass_through(self) -> None:
        if self._open:
            return
        (self._folder / str(os.getpid())).touch()
        while len(os.listdir(self._folder)) < self._lanes:
            time.sleep(0.01)
        self._open = True

    def opened_at(self) -> float:
        """When the last of the first processes was up, in seconds of `time.time`."""
        return sorted(path.stat().st_mtime for path in self._folder.iterdir())[self._lanes - 1]


def scores(point: dict[str, Any], rung: int) -> dict[str, float]:
    """Smooth in the point, and a little better at each rung."""
    share, rank = point["mixture.generic_fraction"], point["lora.rank"]
    return {"seen": 50 - 30 * (share - 0.3) ** 2 + rank / 64 + rung, "unseen": 30 + 10 * share, "retention": -0.001 * rank}


class SleepingLane(tune.Trainable):
    """Answers as a lane does, after as long as it was told to sleep."""

    def setup(self, config: dict[str, Any], gate: Gate, trial_s: float) -> None:
        self._gate, self._trial_s = gate, trial_s
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._point, self._rung = new_config, 0
        return True

    def step(self) -> dict[str, Any]:
        self._gate.pass_through()
        time.sleep(self._trial_s / len(RUNGS))
        self._rung += 1
        objectives = scores(self._point, self._rung)
        record = {"step": self._rung, "examples": 1, "tokens": 1, "train_loss": 1.0, "task_scores": {}, "seconds": 0.0}
        return {
            **objectives,
            SCALAR: objectives["seen"],
            "rung": {**record, "objectives": objectives, "standard_errors": objectives},
            "lane": str(os.getpid()),
            "losses": 0,
            "halving_time": self._rung,
            "done": self._rung == len(RUNGS),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        pass


def configuration(lanes: int, trials: int, scheduler: str = "none") -> SweepConfig:
    parameters = {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"low": 2, "high": 64, "log": True}}
    return SweepConfig.model_validate(
        {
            "name": "cluster_scale",
            "search": {"trials": trials, "parameters": parameters, "scheduler": {"kind": scheduler, "rungs": RUNGS}},
            "cluster": {"lanes": lanes, "workers": 1, "gpus_per_worker": 0, "driver_resource": SEAT, "dashboard": False},
        }
    )


def ours(folder: Path, gate: Gate, lanes: int, size: Size, scheduler: str = "none") -> Ended:
    """Runs the sweep."""
    trials = lanes * size.trials_a_lane
    config, ended = configuration(lanes, trials, scheduler), Ended()
    run = open_run(folder / "run", config, resume=False)
    (run.path / "trials").mkdir()
    lane = tune.with_parameters(SleepingLane, gate=gate, trial_s=size.trial_s)
    study = StudyFile(study_place(run.path, config.name, None), NAMES, distributions(config))
    sweep.run_trials(config, run, NAMES, lane, ended, study, Board(ended, trials))
    study.close()
    if len(ended) < trials or not {record.status for record in ended} <= {"complete", "stopped"}:
        raise AssertionError(f"{len(ended)} of {trials} trials ended, as {[record.status for record in ended]}")
    return ended


class Ended(list[TrialRecord]):
    """Records, and when the last one came."""

    last_at = 0.0

    def append(self, record: TrialRecord) -> None:
        super().append(record)
        self.last_at = time.time()


def sleep_and_report(config: dict[str, Any], gate: Gate, trial_s: float) -> None:
    """The rival's trial."""
    gate.pass_through()
    for rung in range(len(RUNGS)):
        time.sleep(trial_s / len(RUNGS))
        tune.report(scores(config, rung + 1))


def rival(folder: Path, gate: Gate, lanes: int, size: Size) -> LastCompletion:
    """The same as `ours`, by Ray Tune as it comes."""
    space = {"mixture.generic_fraction": tune.uniform(0.0, 1.0), "lora.rank": tune.lograndint(2, 64)}
    last = LastCompletion()
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(sleep_and_report, gate=gate, trial_s=size.trial_s), {"memory": 1, SEAT: 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric=list(NAMES), mode=["max"] * len(NAMES)),
            num_samples=lanes * size.trials_a_lane,
            max_concurrent_trials=lanes,
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder / "run"), callbacks=[last], verbose=0),
    )
    # What we turn off for ourselves is on for the rival, as it comes.
    with mock.patch.dict(os.environ, TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="0", TUNE_GLOBAL_CHECKPOINT_S="auto"):
        results = tuner.fit()
    if results.errors or len(results) != lanes * size.trials_a_lane:
        raise AssertionError(f"{len(results)} trials of the rival, errors: {results.errors}")
    return last


class LastCompletion(tune.Callback):
    """When the last trial had ended."""

    last_at = 0.0

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.last_at = time.time()


@contextmanager
def nodes() -> Iterator[Cluster]:
    """A head that holds no lane; nodes are added to it."""
    with mock.patch.dict(os.environ, RAY_AUTH_MODE="disabled"):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        try:
            with connected(ClusterConfig(address=cluster.address)):
                yield cluster
        finally:
            cluster.shutdown()


def main() -> int:
    options = arguments("What share of a cluster's time trials get.", rounds=1)
    before, size = load(), QUICK if options.quick else FULL
    rows: list[Measurement] = []
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder, nodes() as cluster:
        seats = 0
        for lanes in LANES:
            for _ in range(lanes - seats):
                cluster.add_node(num_cpus=1, resources={SEAT: 1})
            seats = lanes
            cluster.wait_for_nodes()
            for number in range(options.rounds):
                rows += measured(Path(folder), lanes, size, number)
    publish(Outcome(figures=figures(rows, size), rows=rows), before, as_json=options.json)
    return 0


def measured(folder: Path, lanes: int, size: Size, number: int) -> list[Measurement]:
    """Both sides once on so many lanes; who begins changes from round to round."""
    rows = []
    sides: list[tuple[str, Callable[..., Ended | LastCompletion]]] = [(OURS, ours), (RIVAL, rival)]
    for side, work in sides[:: 1 if number % 2 else -1]:
        place = Path(tempfile.mkdtemp(dir=folder))
        gate = Gate(place / "up", lanes)
        done, whole = timed(partial(work, place, gate, lanes, size))
        since_up = done.last_at - gate.opened_at()
        rows += [
            Measurement(what=f"{lanes} lanes up", side=side, round=number, seconds=since_up),
            Measurement(what=f"{lanes} lanes whole", side=side, round=number, seconds=whole),
        ]
    return rows


def figures(rows: list[Measurement], size: Size) -> dict[str, float]:
    def median(what: str, side: str) -> float:
        return statistics.median(row.seconds for row in rows if (row.what, row.side) == (what, side))

    found = {}
    for side, prefix in ((OURS, ""), (RIVAL, "rival_")):
        for lanes in LANES:
            found[f"{prefix}efficiency_{lanes}_lanes"] = size.ideal_s / median(f"{lanes} lanes up", side)
            found[f"{prefix}efficiency_{lanes}_lanes_whole"] = size.ideal_s / median(f"{lanes} lanes whole", side)
        beside = median(f"{LANES[-1]} lanes up", side) - size.ideal_s
        found[f"{prefix}overhead_ms_per_trial"] = 1000 * beside / size.trials_a_lane
    return {**found, "trial_seconds": size.trial_s, "trials_a_lane": size.trials_a_lane}


if __name__ == "__main__":
    run_job(main)
