"""A few steps and one evaluation of a real trial, on this machine, for a plan that is to be believed.

What comes in: a configuration, its scenario and tokenised data. What goes out: a `Speed`. The trial is the first that the space
would have, with its own rows and settings, cut off after some steps; a process of its own trains it, so that its memory is a
worker's.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.records import RungRecord
from mixwright.scenarios import Scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.train import batches, process
from mixwright.train.choices import choose, rough_tokens
from mixwright.train.hardware import share_of_machine
from mixwright.train.reporter import StepReport
from mixwright.train.resident import Assignment, Resident, Setup

STEPS = 8
"""At least, of the trial that is measured; half as many of one before it warm the process up, as happens once in a lane's life."""
MEASURED_S = 3.0
"""How long the measured steps shall take, where the trial is as long: the first steps of a small model are its slowest."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a trial takes on one worker of this machine."""

    tokens_per_second: float
    evaluation_s: float
    """What a rung takes beside its steps: a dev evaluation and a checkpoint."""
    switch_s: float
    """From one trial to the next: the old adapter and optimiser off, the new ones made."""
    start_s: float
    """From a fresh process to a base model that is loaded and evaluated; once a lane."""
    memory_gib: float
    steps: int


@dataclass
class _Notes:
    """A `Reporter` that keeps steps."""

    steps: list[StepReport] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def rung(self, trial_id: str, record: RungRecord) -> None:
        """Nothing: the probe times it itself."""


def measure(config: SweepConfig, scenario: Scenario, data: PreparedData) -> Speed:
    """Trains and evaluates in a process of its own; takes a worker's start, some seconds of steps and four evaluations.

    Args:
        config: with `cluster` settled.
        data: tokenised.
    """
    tokens = rough_tokens(config, data)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, config, scenario, data.for_workers(), tokens, time.time()).result()


def _measure(config: SweepConfig, scenario: Scenario, data: PreparedData, tokens: float, asked_at: float) -> Speed:
    import torch

    logging.getLogger("mixwright").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mixwright-plan-") as folder, process.group() as device:
        share = share_of_machine(config.cluster.cpus_per_worker)
        torch.set_num_threads(config.cluster.cpus_per_worker)
        choices = choose(config, device, tokens=tokens, share=share)
        notes = _Notes()
        setup = Setup.settled(config, choices, scenario=scenario, data=data, run_dir=Path(folder), make_evaluator=DevEvaluator)
        resident = Resident(setup, device, notes)
        rows = len(resident.mixture(setup.config).rows)
        resident.evaluate_base()
        started = time.time()
        warm = _trial(resident, notes, _cut_off(setup.config, rows, STEPS), "trial_0000", rungs=1)
        steps = max(STEPS, math.ceil(MEASURED_S * len(warm.steps) / sum(step.seconds for step in warm.steps)))
        trial = _trial(resident, notes, _cut_off(setup.config, rows, steps), "trial_0001", rungs=2)
        trained_s = sum(step.seconds for step in trial.steps)
        return Speed(
            tokens_per_second=trial.steps[-1].tokens / trained_s,
            evaluation_s=trial.rung_ends_s[-1],
            switch_s=max(0.0, trial.wall_s - trained_s - len(trial.rung_ends_s) * trial.rung_ends_s[-1]),
            start_s=started - asked_at,
            memory_gib=max(step.memory_gib for step in trial.steps),
            steps=len(trial.steps),
        )


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """A trial that was run, or its beginning."""

    steps: list[StepReport]
    wall_s: float
    rung_ends_s: list[float]
    """Of each rung, what its steps leave of its time; the first has the trial's entrance too, unless it is the only one."""


def _trial(resident: Resident, notes: _Notes, config: SweepConfig, trial_id: str, *, rungs: int) -> _Timed:
    """The first rungs of a trial."""
    notes.steps, rung_ends, started = [], [], time.perf_counter()
    for rung in range(min(rungs, len(config.search.scheduler.rungs))):
        before, begun = len(notes.steps), time.perf_counter()
        record = resident.run(Assignment(trial_id=trial_id, config=config, rung=rung))
        rung_ends.append(time.perf_counter() - begun - sum(step.seconds for step in notes.steps[before:]))
    if len(rung_ends) == 1:
        rung_ends = [record.seconds - sum(step.seconds for step in notes.steps)]
    return _Timed(steps=notes.steps, wall_s=time.perf_counter() - started, rung_ends_s=rung_ends)


def _cut_off(config: SweepConfig, rows: int, steps: int) -> SweepConfig:
    """The trial with two rungs within so many steps; its rates and rows are those of the whole."""
    total = batches.steps_in(rows, config.train.micro_batch_size * config.train.gradient_accumulation)
    steps = min(steps, total)
    ends = (0.5 * steps / total, steps / total) if steps > 1 else (steps / total,)
    rungs = ends if steps == total else (*ends, 1.0)
    scheduler = config.search.scheduler.model_copy(update={"rungs": rungs})
    return config.model_copy(update={"search": config.search.model_copy(update={"scheduler": scheduler})})
