"""What does the search itself cost a trial, when there are very many?

    python benchmarks/search_scale.py [--quick] [--json]

2,000 trials of an objective that takes no time, on 16 simulated lanes: Ray Tune actors that answer at once, once all of them
have started. All else is what a sweep has: Ray Tune, the searcher with TPE over two keys and three objectives, ASHA with two
rungs, a record a trial, TensorBoard and study.db. A machine whose lanes never wait shows as wall time what a trial costs beside its
training.

overhead_ms_per_trial        Wall time a trial over the last 100, Tune's own loop and actors included.
overhead_ms_per_trial_early  The same over the trials from 100 to 200.
driver_ms_per_trial          Of the last 100: processor time of the driver with all its threads. Other load hardly moves it.
own_ms_per_trial             Of the last 100: wall time in our searcher, recorder and study. `own_ms_NAME` says in which.
tune_ms_per_trial            Of the last 100: all other wall time, Tune's and Ray's.
total_exponent               Seconds of the whole run by those of its first half, as a power of two: 1 is linear.
resume_seconds               From a run folder that a kill left with 16 trials under way to the first suggestion, imports aside.
memory_growth_mib            What the driver holds more after the last trial than after 200: unique set size.
run_folder_mib               The run folder at the end, without what Ray wrote there.

`--quick` has 200 trials on 4 lanes, and its growth starts at trial 50.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from common import Measurement, Outcome, arguments, load, publish, timed
from ray import tune

from mixwright.config import SweepConfig
from mixwright.errors import run_job
from mixwright.records import TrialRecord
from mixwright.search import schedulers, sweep
from mixwright.search.board import Board
from mixwright.search.cluster import connected
from mixwright.search.searcher import StudyWriter, TrialSearch, take_up
from mixwright.search.space import distributions
from mixwright.search.study import StudyFile
from mixwright.search_config import SCALAR
from mixwright.store.runs import RunFolder, open_run
from mixwright.store.studies import study_place

NAMES = ("seen", "unseen", "retention")
RUNGS = (0.34, 1.0)
WINDOW = 100
PARTS: tuple[tuple[str, type, str], ...] = (
    ("suggest", TrialSearch, "suggest"),
    ("complete", TrialSearch, "on_trial_complete"),
    ("result", sweep.TrialRecorder, "on_trial_result"),
    ("record", sweep.TrialRecorder, "on_trial_complete"),
    ("write", StudyWriter, "on_step_end"),
)


class SimulatedLane(tune.Trainable):
    """Answers as a lane does, at once: a smooth surface with a little noise that hangs on the trial."""

    def setup(self, config: dict[str, Any], started: Path, lanes: int) -> None:
        """Each lane leaves a file in `started`; none answers before all have."""
        self._started, self._lanes = started, lanes
        (started / str(os.getpid())).touch()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._point, self._rung = new_config, 0
        return True

    def step(self) -> dict[str, Any]:
        while self._lanes > len(os.listdir(self._started)):
            time.sleep(0.05)
        self._lanes = 0
        share, rank = self._point["mixture.generic_fraction"], self._point["lora.rank"]
        noise = math.sin(12.9898 * share + 78.233 * rank) / 2
        self._rung += 1
        objectives = {
            "seen": 50 - 30 * (share - 0.3) ** 2 + math.log2(rank) / 2 + noise,
            "unseen": 30 + 10 * share - noise,
            "retention": -0.2 * (1 - share) ** 2 - 0.001 * rank,
        }
        record = {"step": self._rung, "examples": 1, "tokens": 1, "train_loss": 1.0, "task_scores": {}, "seconds": 0.0}
        return {
            **objectives,
            SCALAR: objectives["seen"],
            "rung": {**record, "objectives": objectives, "standard_errors": objectives},
            "lane": "lane",
            "halving_time": 2 ** (self._rung - 1),
            "done": self._rung == len(RUNGS),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        pass


def configuration(trials: int, lanes: int) -> SweepConfig:
    parameters = {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"low": 2, "high": 64, "log": True}}
    return SweepConfig.model_validate(
        {
            "name": "scale",
            "search": {"trials": trials, "parameters": parameters, "startup_trials": 10, "scheduler": {"rungs": RUNGS}},
            "cluster": {"lanes": lanes, "workers": 1, "gpus_per_worker": 0, "dashboard": False},
        }
    )


@dataclass
class Watch:
    """What was seen while the search ran."""

    ended: list[TrialRecord] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    """Trials that had ended -> seconds since the start."""
    driver_seconds: dict[int, float] = field(default_factory=dict)
    """The same -> processor time of this process."""
    memory_mib: dict[int, float] = field(default_factory=dict)
    own: list[tuple[int, str, float]] = field(default_factory=list)
    """Trials that had ended, part, seconds: one for each call of ours."""

    def at(self, trials: int) -> float:
        """Seconds from the start until so many trials had ended."""
        return next(self.seconds[number] for number in sorted(self.seconds) if number >= trials)

    def per_trial_ms(self, first: int, last: int) -> float:
        return 1000 * (self.at(last) - self.at(first)) / (last - first)

    def driver_ms(self, first: int, last: int) -> float:
        marks = sorted(self.driver_seconds)
        start, end = (next(mark for mark in marks if mark >= number) for number in (first, last))
        return 1000 * (self.driver_seconds[end] - self.driver_seconds[start]) / (last - first)

    def own_ms(self, part: str, first: int, last: int) -> float:
        return 1000 * sum(seconds for ended, name, seconds in self.own if name == part and first <= ended < last) / (last - first)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    stop, process, started = threading.Event(), psutil.Process(), time.perf_counter()

    def note() -> None:
        while not stop.wait(0.01):
            count = len(watch.ended)
            if count not in watch.seconds:
                watch.seconds[count] = time.perf_counter() - started
                watch.driver_seconds[count] = time.process_time()
            if count % WINDOW == 0 and count not in watch.memory_mib:
                watch.memory_mib[count] = process.memory_full_info().uss / 2**20

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield
    finally:
        time.sleep(0.05)
        watch.memory_mib[len(watch.ended)] = process.memory_full_info().uss / 2**20
        stop.set()
        thread.join()


@contextmanager
def timing(watch: Watch) -> Iterator[None]:
    """Notes how long each call of ours takes."""

    def timed_call(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*values: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*values, **named)
            finally:
                watch.own.append((len(watch.ended), part, time.perf_counter() - started))

        return wrapped

    patches = [mock.patch.object(kind, name, timed_call(part, getattr(kind, name))) for part, kind, name in PARTS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def run(folder: Path, trials: int, lanes: int) -> tuple[RunFolder, Watch]:
    config, watch = configuration(trials, lanes), Watch()
    opened = open_run(folder, config, resume=False)
    (folder / "trials").mkdir()
    (folder / "started").mkdir()
    lane = tune.with_parameters(SimulatedLane, started=folder / "started", lanes=lanes)
    file = StudyFile(study_place(folder, config.name, None), NAMES, distributions(config))
    with watching(watch), timing(watch):
        sweep.run_trials(config, opened, NAMES, lane, watch.ended, file, Board(watch.ended, trials))
    file.close()
    states = {record.status for record in watch.ended}
    if len(watch.ended) != trials or states != {"complete", "stopped"}:
        raise AssertionError(f"{len(watch.ended)} of {trials} trials ended, as {states}")
    return opened, watch


def leave_under_way(opened: RunFolder, config: SweepConfig, lanes: int) -> None:
    """What a kill leaves: trials that were suggested and have no record."""
    file = StudyFile(study_place(opened.path, config.name, None), NAMES, distributions(config))
    search = TrialSearch(config, NAMES, file, evaluate_base=False)
    for lane in range(lanes):
        search.suggest(f"under way {lane}")
    file.close()


def take_up_again(folder: Path, config: SweepConfig) -> None:
    """Everything between the start of a resumed search and its first suggestion."""
    opened = open_run(folder, config, resume=True)
    ended = opened.trials()
    file = StudyFile(study_place(folder, config.name, None), NAMES, distributions(config))
    take_up(file, ended, NAMES)
    schedulers.make(config, ended)
    TrialSearch(config, NAMES, file, evaluate_base=False, writes_later=True).suggest("first")
    file.close()


def main() -> int:
    options = arguments("The cost of the search itself, trial by trial.", rounds=1)
    before = load()
    trials, lanes, settled = (200, 4, 50) if options.quick else (2000, 16, 200)
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        with connected(configuration(1, 1).cluster):
            opened, watch = run(Path(folder) / "run", trials, lanes)
        more = configuration(trials + lanes, lanes)
        leave_under_way(opened, more, lanes)
        _, resume_seconds = timed(lambda: take_up_again(opened.path, more))
        size = sum(path.stat().st_size for path in opened.path.glob("*.*") if path.is_file()) / 2**20
    publish(Outcome(figures=figures(watch, trials, settled, resume_seconds, size), rows=rows(watch)), before, as_json=options.json)
    return 0


def figures(watch: Watch, trials: int, settled: int, resume_seconds: float, size_mib: float) -> dict[str, float]:
    last = trials - min(WINDOW, trials // 2)
    early = WINDOW if trials > 2 * WINDOW else settled
    own = {part: watch.own_ms(part, last, trials) for part, _, _ in PARTS}
    settled_at = min(number for number in watch.memory_mib if number >= settled)
    return {
        "overhead_ms_per_trial": watch.per_trial_ms(last, trials),
        "overhead_ms_per_trial_early": watch.per_trial_ms(early, 2 * early),
        "driver_ms_per_trial": watch.driver_ms(last, trials),
        "own_ms_per_trial": sum(own.values()),
        "tune_ms_per_trial": watch.per_trial_ms(last, trials) - sum(own.values()),
        **{f"own_ms_{part}": value for part, value in own.items()},
        "total_exponent": math.log2((watch.at(trials) - watch.at(1)) / (watch.at(trials // 2) - watch.at(1))),
        "resume_seconds": resume_seconds,
        "memory_growth_mib": watch.memory_mib[max(watch.memory_mib)] - watch.memory_mib[settled_at],
        "run_folder_mib": size_mib,
    }


def rows(watch: Watch) -> Sequence[Measurement]:
    """Seconds at every hundredth trial."""
    marks = range(WINDOW, max(watch.seconds) + 1, WINDOW)
    return [Measurement(what="trials ended", side="mixwright", round=mark, seconds=watch.at(mark)) for mark in marks]


if __name__ == "__main__":
    run_job(main)
